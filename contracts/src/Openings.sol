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
    Influence,
    InfluenceOpening,
    SubtotalOpening,
    TotalOpening
} from "./Batches.sol";
import {Leaves} from "./Leaves.sol";
import {Merkle} from "./Merkle.sol";
import {SumMerkle} from "./SumMerkle.sol";

/// Opens the trees of a batch: each function returns what is there, or reverts.
library Openings {
    error BadAnswerOpening(uint32 index);
    error BadClaimOpening(uint32 index);
    error BadInfluenceOpening(uint32 index);
    error BadEntryOpening(uint64 index);
    error BadSubtotalOpening(uint256 contributor);
    error BadTotalOpening(uint256 contributor);

    function answer(Header memory h, AnswerOpening calldata o) internal pure returns (Answer memory a) {
        answer(h, o, a);
    }

    /// Into a struct that there is already, for less gas.
    function answer(Header memory h, AnswerOpening calldata o, Answer memory a) internal pure {
        bytes32 leaf = Leaves.answer(o.answer, a);
        if (!Merkle.opensLeaf(h.answersRoot, h.answerCount, leaf, o.index, o.proof)) revert BadAnswerOpening(o.index);
    }

    function claim(Header memory h, ClaimOpening calldata o) internal pure returns (Claim memory c) {
        claim(h, o, c);
    }

    function claim(Header memory h, ClaimOpening calldata o, Claim memory c) internal pure {
        bytes32 leaf = Leaves.claim(o.claim, c);
        if (!Merkle.opensLeaf(h.claimsRoot, h.claimCount, leaf, o.index, o.proof)) revert BadClaimOpening(o.index);
    }

    function influence(Header memory h, InfluenceOpening calldata o) internal pure returns (Influence memory i) {
        influence(h, o, i);
    }

    function influence(Header memory h, InfluenceOpening calldata o, Influence memory i) internal pure {
        bytes32 leaf = Leaves.influence(o.influence, i);
        if (!Merkle.opensLeaf(h.influencesRoot, h.influenceCount, leaf, o.index, o.proof)) {
            revert BadInfluenceOpening(o.index);
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

    /// Wei of one contributor in the batch; and what all entries add up to by this path, which a liar's need not be `h.total`.
    function subtotal(Header memory h, uint256 contributor, SubtotalOpening calldata o)
        internal
        pure
        returns (uint128 sum, uint128 all)
    {
        bytes32 hash = SumMerkle.node(o.left.hash, o.right.hash, o.left.sum, o.right.sum);
        sum = o.left.sum + o.right.sum;
        bool opened;
        (opened, all) = SumMerkle.sumAlong(h.entriesRoot, ENTRY_DEPTH - ENTRY_BITS, hash, sum, contributor, o.proof);
        if (!opened) revert BadSubtotalOpening(contributor);
    }

    /// Cumulative wei of one contributor under a root. Before the first batch the root is 0 and nobody has anything.
    function total(bytes32 root, uint128 sum, uint256 contributor, TotalOpening calldata o) internal pure {
        bool opened = root == bytes32(0)
            ? o.value == 0 && sum == 0
            : SumMerkle.opens(root, sum, ID_BITS, o.value, contributor, o.proof);
        if (!opened) revert BadTotalOpening(contributor);
    }

    /// What all contributors have by the path of one: a liar's root need not add up to what he announced.
    function totalsAlong(bytes32 root, uint256 contributor, TotalOpening calldata o) internal pure returns (uint128 all) {
        bytes32 leaf = SumMerkle.totalLeaf(o.value);
        bool opened;
        (opened, all) = SumMerkle.sumAlong(root, ID_BITS, leaf, o.value, contributor, o.proof);
        if (!opened) revert BadTotalOpening(contributor);
    }
}
