# Each target is one of make.py, which also runs where there is no make.
# Arguments: make test ARGS="-k store".
.PHONY: setup check test bench demo testnet
setup check test bench demo testnet:
	@python3 make.py $@ $(ARGS)
