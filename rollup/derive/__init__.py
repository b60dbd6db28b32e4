"""Derivation: from the blocks of L1 to the attributes of L2 blocks, as stages that pull."""
