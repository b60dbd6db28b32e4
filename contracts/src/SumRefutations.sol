// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {AttributionOracle} from "./AttributionOracle.sol";
import {
    Answer,
    AnswerOpening,
    Batch,
    BPS,
    Claim,
    ClaimOpening,
    Entry,
    ENTRY_BITS,
    EntryOpening,
    Header,
    ID_BITS,
    INFLUENCE_SLOT,
    InfluenceOpening,
    Kind,
    NONE,
    SLOTS,
    Status,
    SubtotalOpening,
    TotalOpening
} from "./Batches.sol";
import {IReceipts} from "./interfaces/IReceipts.sol";
import {Openings} from "./Openings.sol";
import {Parameters} from "./Parameters.sol";
import {Receipt, overlap} from "./Receipts.sol";

/// What can be wrong with the numbers of a batch, without any text: each function proves it by a few leaves and convicts
/// the batch, or reverts. Twin of `protocol/refute_sums.py`.
contract SumRefutations {
    uint256 public constant TEXT_MAX = 24 * 1024; // bytes of a prompt or an output: both fit into one gossip message
    AttributionOracle public immutable ORACLE;
    IReceipts public immutable ESCROW;

    error NotFraud();
    error WrongAnswer(uint32 have, uint32 want);
    error NotEarlier(uint256 id);

    constructor(AttributionOracle oracle, IReceipts escrow) {
        ORACLE = oracle;
        ESCROW = escrow;
    }

    // ------------------------------------------------------------ claims

    /// A field of the claim is out of its bounds; or it belongs to another answer than it says.
    function refuteShape(uint256 id, ClaimOpening calldata claim, AnswerOpening calldata answer) external {
        Header memory h = ORACLE.claimsOf(id);
        Claim memory c = Openings.claim(h, claim);
        Answer memory a = Openings.answer(h, answer);
        bool inside = claim.index >= a.firstClaim && claim.index < uint256(a.firstClaim) + a.claimCount;
        bool lies = answer.index == c.answer
            ? !inside || _misshapen(id, c, a.receipt.outputSize, a.receipt.promptSize)
            : inside;
        _convict(id, lies, Kind.ARITHMETIC);
    }

    /// Two adjacent claims of one answer, of which the second does not start and end later.
    function refuteOrder(uint256 id, ClaimOpening calldata first, ClaimOpening calldata second) external {
        Header memory h = ORACLE.claimsOf(id);
        Claim memory c = Openings.claim(h, first);
        Claim memory d = Openings.claim(h, second);
        bool lies = second.index == uint256(first.index) + 1 && c.answer == d.answer
            && (c.start >= d.start || _end(c) >= _end(d));
        _convict(id, lies, Kind.ARITHMETIC);
    }

    /// What the claim says it owns of the answer is wrong by itself or against `other` (ignored in the first case).
    function refuteOwned(uint256 id, ClaimOpening calldata claim, ClaimOpening calldata other) external {
        Header memory h = ORACLE.claimsOf(id);
        Claim memory c = Openings.claim(h, claim);
        uint256 j = claim.index;
        bool lies = c.leftBy > j || (c.leftBy == j && c.ownStart != c.start) || c.rightBy < j
            || c.rightBy >= h.claimCount || (c.rightBy == j && c.ownEnd != _end(c));
        if (!lies) lies = _cutWrong(c, j, Openings.claim(h, other), other.index);
        _convict(id, lies, Kind.ARITHMETIC);
    }

    /// The claim's `covered` or `paid` is not that of the claim before it (NONE for the first of the answer) plus what it
    /// owns or earns itself.
    function refutePaid(
        uint256 id,
        ClaimOpening calldata claim,
        AnswerOpening calldata answer,
        ClaimOpening calldata previous
    ) external {
        Header memory h = ORACLE.claimsOf(id);
        (Claim memory c, Answer memory a) = _open(h, claim, answer);
        uint256 covered = _owned(c);
        uint256 paid = _amount(c, a.receipt, ORACLE.rulesOf(id));
        if (claim.index == a.firstClaim) {
            if (previous.index != NONE) revert NotFraud();
        } else {
            if (uint256(previous.index) + 1 != claim.index) revert NotFraud();
            Claim memory before = Openings.claim(h, previous);
            covered += before.covered;
            paid += before.paid;
        }
        _convict(id, c.covered != covered || c.paid != paid, Kind.ARITHMETIC);
    }

    // ------------------------------------------------------------ entries

    /// The payment of holder `slot` is not in the entry tree where the claim says; or it names an entry for nothing
    /// (`entry` is ignored then).
    function refuteEntry(
        uint256 id,
        ClaimOpening calldata claim,
        AnswerOpening calldata answer,
        uint32 slot,
        EntryOpening calldata entry
    ) external {
        Header memory h = ORACLE.headerOf(id);
        (Claim memory c, Answer memory a) = _open(h, claim, answer);
        if (slot >= c.holders || slot >= SLOTS) revert NotFraud();
        uint256 share = _share(c, a.receipt, ORACLE.rulesOf(id), slot);
        bool lies;
        if (share == 0) {
            lies = c.who[slot].entry != 0;
        } else {
            if (entry.index != _position(c.who[slot].contributor, c.who[slot].entry)) revert NotFraud();
            Openings.entry(h, entry);
            lies = !_is(entry, answer.index, claim.index, slot, share);
        }
        _convict(id, lies, Kind.ARITHMETIC);
    }

    /// An entry that follows from no claim and no remainder, nor can from an influence. `claim` is the one that the entry
    /// names; for a remainder `claim` and `influence` are the answer's last ones (NONE if it has none). They and `answer`
    /// are ignored where the entry is impossible by itself. (Whether an influence pays it: `refuteInfluenceInvented`.)
    function refuteInvented(
        uint256 id,
        EntryOpening calldata entry,
        ClaimOpening calldata claim,
        InfluenceOpening calldata influence,
        AnswerOpening calldata answer
    ) external {
        Header memory h = ORACLE.headerOf(id);
        Openings.entry(h, entry);
        if (!entry.present) revert NotFraud();
        Entry calldata e = entry.entry;
        bool lies = _impossible(h, e, entry.index >> ENTRY_BITS);
        if (!lies) {
            if (e.slot == INFLUENCE_SLOT) revert NotFraud();
            if (answer.index != e.answer) revert WrongAnswer(answer.index, e.answer);
            Answer memory a = Openings.answer(h, answer);
            if (e.claim == NONE) {
                lies = a.remainderEntry != entry.index // of contributor 0
                    || e.value != _remainder(id, h, a, claim, influence);
            } else {
                if (claim.index != e.claim) revert NotFraud();
                lies = _unpaid(id, entry, Openings.claim(h, claim), a);
            }
        }
        _convict(id, lies, Kind.ARITHMETIC);
    }

    /// What the answer's spans and influences left over is not in the treasury's entries where the answer says; or they
    /// took more than there is, or an entry is named for nothing (`entry` is ignored then). The last ones are NONE where
    /// the answer has none.
    function refuteRemainder(
        uint256 id,
        AnswerOpening calldata answer,
        EntryOpening calldata entry,
        ClaimOpening calldata lastClaim,
        InfluenceOpening calldata lastInfluence
    ) external {
        Header memory h = ORACLE.headerOf(id);
        Answer memory a = Openings.answer(h, answer);
        uint256 rest = _remainder(id, h, a, lastClaim, lastInfluence);
        bool lies = rest == 0 ? a.remainderEntry != 0 : rest > type(uint128).max || a.remainderEntry >> ENTRY_BITS != 0;
        if (!lies && rest != 0) {
            if (entry.index != a.remainderEntry) revert NotFraud();
            Openings.entry(h, entry);
            lies = !_is(entry, answer.index, NONE, 0, rest);
        }
        _convict(id, lies, Kind.ARITHMETIC);
    }

    /// Two neighbouring entries of one contributor with a gap before the second, or out of order.
    function refuteNumbering(uint256 id, EntryOpening calldata first, EntryOpening calldata second) external {
        Header memory h = ORACLE.headerOf(id);
        Openings.entry(h, first);
        Openings.entry(h, second);
        bool neighbours = second.index == uint256(first.index) + 1
            && second.index >> ENTRY_BITS == first.index >> ENTRY_BITS && second.present;
        _convict(id, neighbours && (!first.present || _key(first.entry) >= _key(second.entry)), Kind.ARITHMETIC);
    }

    /// A contributor's new total is not the old one plus the batch; or the entries or the totals do not add up to what the
    /// header announces: then no leaf of theirs could ever be opened for a payment.
    function refuteTransition(
        uint256 id,
        uint32 contributor,
        TotalOpening calldata old,
        SubtotalOpening calldata subtotal,
        TotalOpening calldata next
    ) external {
        Header memory h = ORACLE.headerOf(id);
        (bytes32 oldRoot, uint128 oldTotal) = ORACLE.totalsBefore(id);
        Openings.total(oldRoot, oldTotal, contributor, old);
        (uint128 sum, uint128 all) = Openings.subtotal(h, contributor, subtotal);
        bool lies = all != h.total || Openings.totalsAlong(h.totalsRoot, contributor, next) != uint256(oldTotal) + h.total
            || uint256(old.value) + sum != next.value;
        _convict(id, lies, Kind.ARITHMETIC);
    }

    /// Answers out of order, or the chain of their claims or of their influences broken: at the first or last answer, or
    /// between two neighbours (`second` is NONE for the ends).
    function refuteChain(uint256 id, AnswerOpening calldata first, AnswerOpening calldata second) external {
        Header memory h = ORACLE.claimsOf(id);
        Answer memory a = Openings.answer(h, first);
        (uint256 claims, uint256 influences) =
            (uint256(a.firstClaim) + a.claimCount, uint256(a.firstInfluence) + a.influenceCount);
        bool lies = (first.index == 0 && (a.firstClaim != 0 || a.firstInfluence != 0))
            || (first.index == h.answerCount - 1 && (claims != h.claimCount || influences != h.influenceCount));
        if (!lies && second.index != NONE) {
            Answer memory b = Openings.answer(h, second);
            lies = second.index == uint256(first.index) + 1
                && (b.firstClaim != claims || b.firstInfluence != influences
                    || ESCROW.receiptDigest(a.receipt) >= ESCROW.receiptDigest(b.receipt));
        }
        _convict(id, lies, Kind.ARITHMETIC);
    }

    // ------------------------------------------------------------ receipts

    /// The host has not signed the receipt.
    function refuteForged(uint256 id, AnswerOpening calldata answer) external {
        Answer memory a = Openings.answer(ORACLE.claimsOf(id), answer);
        (address signer, ECDSA.RecoverError err,) = ECDSA.tryRecover(ESCROW.receiptDigest(a.receipt), a.r, a.vs);
        _convict(id, err != ECDSA.RecoverError.NoError || signer != a.receipt.host, Kind.RECEIPT);
    }

    /// No voucher that was paid covers the receipt; or its amounts or sizes are out of bounds.
    function refuteUnfunded(uint256 id, AnswerOpening calldata answer) external {
        Receipt memory r = Openings.answer(ORACLE.claimsOf(id), answer).receipt;
        bool lies = r.amount == 0 || r.amount > r.cumulative || r.outputSize > TEXT_MAX || r.promptSize > TEXT_MAX
            || ESCROW.redeemed(r.payer, r.host, r.adapter) < r.cumulative;
        _convict(id, lies, Kind.RECEIPT);
    }

    /// The receipt's money pays another answer of this batch, or of one before it that is final or still pends.
    function refuteRepeated(
        uint256 id,
        AnswerOpening calldata answer,
        uint256 otherId,
        AnswerOpening calldata other
    ) external {
        Header memory h = ORACLE.claimsOf(id);
        Receipt memory r = Openings.answer(h, answer).receipt;
        if (otherId == id) {
            if (other.index == answer.index) revert NotFraud();
        } else {
            Batch memory batch = ORACLE.batchOf(otherId);
            // A pending one of a lower number is an ancestor: should it die, so does this one.
            if (batch.status != Status.Final && (batch.status != Status.Pending || otherId > id)) {
                revert NotEarlier(otherId);
            }
            h = batch.header;
        }
        _convict(id, overlap(r, Openings.answer(h, other).receipt), Kind.RECEIPT);
    }

    // ------------------------------------------------------------ internals

    function _convict(uint256 id, bool lies, uint8 kind) internal {
        if (!lies) revert NotFraud();
        ORACLE.convict(id, kind, msg.sender);
    }

    function _open(Header memory h, ClaimOpening calldata claim, AnswerOpening calldata answer)
        internal
        pure
        returns (Claim memory c, Answer memory a)
    {
        Openings.claim(h, claim, c);
        if (c.answer != answer.index) revert WrongAnswer(answer.index, c.answer);
        Openings.answer(h, answer, a);
    }

    function _end(Claim memory c) internal pure returns (uint256) {
        return uint256(c.start) + c.length;
    }

    function _misshapen(uint256 id, Claim memory c, uint256 outputSize, uint256 promptSize)
        internal
        view
        returns (bool)
    {
        (uint32 spanMin, uint32 spanMax, uint32 holdersMax) = ORACLE.spanRulesOf(id);
        if (c.length < spanMin || c.length > spanMax || _end(c) > outputSize) return true;
        if (c.holders == 0 || c.holders > holdersMax || c.holders > SLOTS) return true;
        if (c.echo != 0 && uint256(c.echo) - 1 + c.length > promptSize) return true;
        for (uint256 i = 0; i < SLOTS; ++i) {
            if (i < c.holders ? _misplaced(c, i) : !_unused(c, i)) return true;
        }
        return false;
    }

    /// Holder `i` has an impossible id or number, or does not follow the one before, or is a contributor twice.
    function _misplaced(Claim memory c, uint256 i) internal pure returns (bool) {
        uint32 contributor = c.who[i].contributor;
        if (contributor == 0 || contributor >> ID_BITS != 0 || c.who[i].entry >> ENTRY_BITS != 0) return true;
        for (uint256 j = 0; j < i; ++j) {
            if (c.who[j].contributor == contributor) return true;
        }
        if (i == 0 || c.who[i - 1].shard < c.who[i].shard) return false;
        return c.who[i - 1].shard > c.who[i].shard || c.who[i - 1].position >= c.who[i].position;
    }

    function _unused(Claim memory c, uint256 i) internal pure returns (bool) {
        return c.who[i].shard == 0 && c.who[i].position == 0 && c.who[i].document == 0 && c.who[i].contributor == 0
            && c.who[i].entry == 0;
    }

    /// Whether claim `x` shows that what claim `j` owns is stated wrongly.
    function _cutWrong(Claim memory c, uint256 j, Claim memory other, uint256 x) internal pure returns (bool) {
        if (x == j) return false;
        bool cuts = other.answer == c.answer
            && (x < j ? other.length >= c.length && _end(other) > c.start : other.length > c.length && other.start < _end(c));
        if (x == c.leftBy) return !cuts || c.ownStart != _end(other);
        if (x == c.rightBy) return !cuts || c.ownEnd != other.start;
        return cuts && (x < j ? _end(other) > c.ownStart : other.start < c.ownEnd);
    }

    /// No entry can be so, whatever the leaves of answers, claims and influences say.
    function _impossible(Header memory h, Entry calldata e, uint256 contributor) internal pure returns (bool) {
        if (e.value == 0 || e.answer >= h.answerCount || e.slot > INFLUENCE_SLOT) return true;
        if (e.slot == INFLUENCE_SLOT) return e.claim >= h.influenceCount;
        return e.claim == NONE ? contributor != 0 || e.slot != 0 : e.claim >= h.claimCount;
    }

    /// The claim that the entry names does not pay it.
    function _unpaid(uint256 id, EntryOpening calldata entry, Claim memory c, Answer memory a)
        internal
        view
        returns (bool)
    {
        uint256 slot = entry.entry.slot;
        if (c.answer != entry.entry.answer || slot >= c.holders) return true;
        if (c.who[slot].entry >> ENTRY_BITS != 0) return true; // else it would run into the contributor
        return _position(c.who[slot].contributor, c.who[slot].entry) != entry.index
            || entry.entry.value != _share(c, a.receipt, ORACLE.rulesOf(id), slot);
    }

    function _owned(Claim memory c) internal pure returns (uint256) {
        return c.ownEnd > c.ownStart ? c.ownEnd - c.ownStart : 0;
    }

    /// Wei that a span earns, rounded down; 0 for one that the prompt already had.
    function _amount(Claim memory c, Receipt memory r, Parameters.Values memory p) internal pure returns (uint256) {
        if (c.echo != 0 || r.outputSize == 0) return 0;
        uint256 weight = p.spanWeights[c.length < 64 ? 0 : c.length < 128 ? 1 : c.length < 256 ? 2 : 3];
        weight *= c.holders == p.holdersMax ? p.commonBps : BPS;
        return _contributors(r, p) * _owned(c) * weight / (r.outputSize * BPS * BPS);
    }

    /// The part of one holder: the earliest gets all, the others only say how common the span is. Were they paid too, a copy
    /// with a byte changed would earn as much as its original.
    function _share(Claim memory c, Receipt memory r, Parameters.Values memory p, uint256 slot)
        internal
        pure
        returns (uint256)
    {
        return slot == 0 && c.holders != 0 ? _amount(c, r, p) : 0;
    }

    /// Wei of an answer's fee that are the contributors', rounded down.
    function _contributors(Receipt memory r, Parameters.Values memory p) internal pure returns (uint256) {
        uint256 others = uint256(p.platformBps) + p.modelBps + p.stakersBps;
        return uint256(r.amount) * (BPS - others) / BPS;
    }

    /// What spans and influences leave of the contributors' share; over 128 bits if they took more than there is.
    function _remainder(
        uint256 id,
        Header memory h,
        Answer memory a,
        ClaimOpening calldata lastClaim,
        InfluenceOpening calldata lastInfluence
    ) internal view returns (uint256) {
        uint256 paid;
        if (a.claimCount != 0) {
            if (lastClaim.index != uint256(a.firstClaim) + a.claimCount - 1) revert NotFraud();
            paid = Openings.claim(h, lastClaim).paid;
        }
        if (a.influenceCount != 0) {
            if (lastInfluence.index != uint256(a.firstInfluence) + a.influenceCount - 1) revert NotFraud();
            paid += Openings.influence(h, lastInfluence).paid;
        }
        uint256 all = _contributors(a.receipt, ORACLE.rulesOf(id));
        return paid > all ? type(uint256).max : all - paid;
    }

    function _position(uint256 contributor, uint256 number) internal pure returns (uint256) {
        return contributor << ENTRY_BITS | number;
    }

    function _is(EntryOpening calldata o, uint256 answer, uint256 claim, uint256 slot, uint256 value)
        internal
        pure
        returns (bool)
    {
        return o.present && o.entry.answer == answer && o.entry.claim == claim && o.entry.slot == slot
            && o.entry.value == value;
    }

    /// The order in which a contributor's entries are numbered: by answer, those of spans (and the remainder) first.
    function _key(Entry calldata e) internal pure returns (uint256) {
        return uint256(e.answer) << 48 | (e.slot == INFLUENCE_SLOT ? 1 << 40 : 0) | uint256(e.claim) << 8 | e.slot;
    }
}
