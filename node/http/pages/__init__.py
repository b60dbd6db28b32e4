"""Pages for people: each is one document without scripts, images, fonts or anything foreign."""
