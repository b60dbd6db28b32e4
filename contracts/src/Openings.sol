// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {
    Answer,
    AnswerOpening,
    Claim,
    ClaimOpening,
    ENTRY_BITS,
    ENTRY_DEPTH,
    EntryOpening,
    Header,
    ID_BITS,
    SubtotalOpening,
    TotalOpening
} from "./Batches.sol";
import {Merkle} from "./Merkle.sol";
import {SumMerkle} from "./SumMerkle.sol";

/// Opens the trees of a batch: each function returns what is there, or reverts.
library Openings {
    error BadAnswerOpening(uint32 index);
    error BadClaimOpening(uint32 index);
    error BadEntryOpening(uint64 index);
    error BadSubtotalOpening(uint256 contributor);
    error BadTotalOpening(uint256 contributor);

    function answer(Header memory h, AnswerOpening calldata o) internal pure returns (Answer memory a) {
        a = o.answer; // the copy bounds every field
        if (!Merkle.opens(h.answersRoot, h.answerCount, Merkle.ANSWER, abi.encode(a), o.index, o.proof)) {
            revert BadAnswerOpening(o.index);
        }
    }

    function claim(Header memory h, ClaimOpening calldata o) internal pure returns (Claim memory c) {
        c = o.claim;
        if (!Merkle.opens(h.claimsRoot, h.claimCount, Merkle.CLAIM, abi.encode(c), o.index, o.proof)) {
            revert BadClaimOpening(o.index);
        }
    }

    function entry(Header memory h, EntryOpening calldata o) internal pure {
        (bytes32 hash, uint128 sum) = (SumMerkle.ABSENT, 0);
        if (o.present) {
            sum = o.entry.value;
            hash = SumMerkle.entryLeaf(o.entry.answer, o.entry.claim, o.entry.slot, sum);
        }
        if (!SumMerkle.opensNode(h.entriesRoot, h.total, ENTRY_DEPTH, hash, sum, o.index, o.proof)) {
            revert BadEntryOpening(o.index);
        }
    }

    /// Wei of one contributor in the batch.
    function subtotal(Header memory h, uint256 contributor, SubtotalOpening calldata o)
        internal
        pure
        returns (uint128 sum)
    {
        bytes32 hash = SumMerkle.node(o.left.hash, o.right.hash, o.left.sum, o.right.sum);
        sum = o.left.sum + o.right.sum;
        if (!SumMerkle.opensNode(h.entriesRoot, h.total, ENTRY_DEPTH - ENTRY_BITS, hash, sum, contributor, o.proof)) {
            revert BadSubtotalOpening(contributor);
        }
    }

    /// Cumulative wei of one contributor under a root. Before the first batch the root is 0 and nobody has anything.
    function total(bytes32 root, uint128 sum, uint256 contributor, TotalOpening calldata o) internal pure {
        bool opened = root == bytes32(0)
            ? o.value == 0 && sum == 0
            : SumMerkle.opens(root, sum, ID_BITS, o.value, contributor, o.proof);
        if (!opened) revert BadTotalOpening(contributor);
    }
}
