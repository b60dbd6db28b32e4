// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Receipt} from "./Receipts.sol";
import {SumMerkle} from "./SumMerkle.sol";

// What an attribution batch is made of. The leaf of an Answer, Claim or Influence is its static ABI encoding; field for
// field the twins of `protocol/batch.py`, `protocol/claims.py` and `protocol/influences.py`.

uint32 constant NONE = type(uint32).max; // no claim: the remainder of an answer, or "there is no neighbour"
uint256 constant SLOTS = 4;
uint256 constant INFLUENCE_SLOT = 4; // of an entry: it pays an influence, not a holder of a claim
uint256 constant ID_BITS = 24;
uint256 constant ENTRY_BITS = 20;
uint256 constant ENTRY_DEPTH = ID_BITS + ENTRY_BITS;
uint256 constant BPS = 10_000;

struct Header {
    bytes32 answersRoot;
    bytes32 claimsRoot;
    bytes32 influencesRoot;
    bytes32 entriesRoot;
    bytes32 totalsRoot; // cumulative amounts after this batch
    bytes32 dataRoot; // the body
    uint64 dataSize;
    uint128 total; // wei, sum of all entries
    uint32 answerCount;
    uint32 claimCount;
    uint32 influenceCount;
    uint64 asOf; // chain time by which what can change is judged: feature sets in force, documents taken down
}

enum Status {
    None,
    Pending,
    Final,
    Slashed,
    Voided // died without guilt: with a batch before it, or by the objection of the validators
}

struct Batch {
    Header header;
    bytes32 oldRoot; // cumulative amounts before this batch: those of its parent
    uint128 oldTotal;
    uint128 bond;
    address poster;
    uint96 validatorBond; // wei behind all validators when it was posted
    uint64 deadline;
    uint64 postedAt;
    uint32 version; // of the parameters
    uint32 parent; // the batch before it, pending or final when it was posted; 0 for the first
    Status status;
}

struct Answer {
    Receipt receipt;
    bytes32 r;
    bytes32 vs; // EIP-2098, by the host
    uint32 firstClaim;
    uint32 claimCount;
    uint32 firstInfluence;
    uint32 influenceCount;
    uint32 remainderEntry;
    uint32 covered; // bytes of the output that its spans own; the last claim's
    uint64 scoreTotal; // the last influence's `scoreSum`
    bytes32 query; // keccak256 of the answer's feature; 0 iff the adapter has no feature set in force
}

/// The first of a claim is paid; the others say how common the span is.
struct Holder {
    uint32 shard;
    uint64 position;
    uint32 document;
    uint32 contributor;
    uint32 entry;
}

struct Claim {
    uint32 answer;
    uint32 start;
    uint32 length;
    uint32 ownStart;
    uint32 ownEnd;
    uint32 leftBy;
    uint32 rightBy;
    uint32 echo; // 0, or 1 + the first place in the prompt that holds the span
    uint32 holders;
    Holder[SLOTS] who;
    uint32 covered; // bytes owned by the answer's claims up to and with this one
    uint128 paid; // wei, likewise
}

struct Influence {
    uint32 answer;
    uint32 example; // row of the feature set
    uint32 contributor;
    uint32 entry;
    uint64 score;
    uint64 scoreSum; // of the answer's influences up to and with this one
    uint128 paid; // wei, likewise
}

/// Pays slot `slot` of claim `claim`; for slot INFLUENCE_SLOT `claim` is the number of an influence.
struct Entry {
    uint32 answer;
    uint32 claim;
    uint8 slot;
    uint128 value;
}

// A struct is opened by its fields one after the other, big-endian, each as wide as its type: less than half of its leaf.

struct AnswerOpening {
    uint32 index;
    bytes answer;
    bytes32[] proof;
}

struct ClaimOpening {
    uint32 index;
    bytes claim;
    bytes32[] proof;
}

struct InfluenceOpening {
    uint32 index;
    bytes influence;
    bytes32[] proof;
}

struct FeatureOpening {
    uint32 index;
    bytes row;
    bytes32[] proof;
}

struct DocumentOpening {
    uint32 index;
    bytes leaf;
    bytes32[] proof;
}

struct EntryOpening {
    uint64 index; // contributor << ENTRY_BITS | number
    bool present;
    Entry entry; // ignored when absent
    SumMerkle.Sibling[] proof;
}

struct TotalOpening {
    uint128 value;
    SumMerkle.Sibling[] proof;
}

/// A contributor's part of a batch: the node at height ENTRY_BITS, by its children.
struct SubtotalOpening {
    SumMerkle.Sibling left;
    SumMerkle.Sibling right;
    SumMerkle.Sibling[] proof;
}

/// What a batch, shard or feature set was convicted of.
library Kind {
    uint8 internal constant MISMATCH = 1;
    uint8 internal constant LONGER = 2;
    uint8 internal constant EARLIER = 3;
    uint8 internal constant OMITTED = 4;
    uint8 internal constant CONTRIBUTOR = 5;
    uint8 internal constant ECHO = 6;
    uint8 internal constant ARITHMETIC = 7;
    uint8 internal constant RECEIPT = 8;
    uint8 internal constant WITHHELD = 9;
    uint8 internal constant INFLUENCE = 10;
    uint8 internal constant TAKEN_DOWN = 11;
}
