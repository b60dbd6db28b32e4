// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AttributionOracle} from "./AttributionOracle.sol";
import {
    Answer,
    AnswerOpening,
    BPS,
    ClaimOpening,
    Entry,
    ENTRY_BITS,
    EntryOpening,
    FeatureOpening,
    Header,
    ID_BITS,
    Influence,
    INFLUENCE_SLOT,
    InfluenceOpening,
    Kind,
    NONE
} from "./Batches.sol";
import {FeatureRegistry} from "./FeatureRegistry.sol";
import {FeatureRow, FeatureRows} from "./FeatureRows.sol";
import {Features} from "./Features.sol";
import {ICorpora} from "./interfaces/ICorpora.sol";
import {Openings} from "./Openings.sol";
import {Parameters} from "./Parameters.sol";
import {Takedowns} from "./Takedowns.sol";

/// What can be wrong with an answer's influences: each function proves it by a few leaves, and where scores are meant by
/// the answer's feature and an example's, and convicts the batch, or reverts. Twin of `protocol/refute_influences.py`.
contract InfluenceRefutations {
    AttributionOracle public immutable ORACLE;
    FeatureRegistry public immutable FEATURES;
    ICorpora public immutable CORPORA;
    Takedowns public immutable TAKEDOWNS;

    error NotFraud();
    error WrongAnswer(uint32 have, uint32 want);
    error WrongQuery(bytes32 have, bytes32 want);
    error NoFeatures(bytes32 adapter);

    constructor(AttributionOracle oracle, FeatureRegistry features, ICorpora corpora, Takedowns takedowns) {
        ORACLE = oracle;
        FEATURES = features;
        CORPORA = corpora;
        TAKEDOWNS = takedowns;
    }

    // ------------------------------------------------------------ against the features

    /// The answer has a feature though its adapter had no set in force, or none though it had one (`query` is ignored
    /// then); or what it has is no feature.
    function refuteQuery(uint256 id, AnswerOpening calldata answer, bytes calldata query) external {
        Header memory h = ORACLE.influencesOf(id);
        Answer memory a = Openings.answer(h, answer);
        (, uint32 count) = FEATURES.inForce(a.receipt.adapter, h.asOf);
        bool lies = (count == 0) != (a.query == 0);
        if (!lies) {
            if (count == 0) revert NotFraud();
            _requireQuery(a, query);
            lies = !Features.wellFormed(query);
        }
        _convict(id, lies);
    }

    /// The listed example does not exist (`row` is ignored then), or is another's, may not be listed, or has another score.
    function refuteScore(
        uint256 id,
        InfluenceOpening calldata influence,
        AnswerOpening calldata answer,
        FeatureOpening calldata row,
        bytes calldata query
    ) external {
        Header memory h = ORACLE.influencesOf(id);
        (Influence memory i, Answer memory a) = _open(h, influence, answer);
        (, uint32 count) = _features(h, a);
        bool lies = i.example >= count;
        if (!lies) {
            if (row.index != i.example) revert NotFraud();
            lies = _scoreWrong(id, h, i, a, row, query);
        }
        _convict(id, lies);
    }

    /// An example that belongs between two neighbours of the list stands nowhere in it. `previous` and `next` are NONE
    /// where the list ends.
    function refuteMissing(
        uint256 id,
        AnswerOpening calldata answer,
        InfluenceOpening calldata previous,
        InfluenceOpening calldata next,
        FeatureOpening calldata row,
        bytes calldata query
    ) external {
        Header memory h = ORACLE.influencesOf(id);
        Answer memory a = Openings.answer(h, answer);
        if (a.covered >= a.receipt.outputSize) revert NotFraud();
        uint256 rank = _rankOf(id, h, a, row, query);
        _convict(id, _between(id, h, a, previous, next, rank));
    }

    // ------------------------------------------------------------ the list by itself

    /// The influence belongs to another answer than it says, is out of bounds, does not rank after the one before it (NONE
    /// for the first of the answer), or its sums are not that one's plus its own.
    function refuteInfluence(
        uint256 id,
        InfluenceOpening calldata influence,
        AnswerOpening calldata answer,
        InfluenceOpening calldata previous
    ) external {
        Header memory h = ORACLE.influencesOf(id);
        Influence memory i = Openings.influence(h, influence);
        Answer memory a = Openings.answer(h, answer);
        uint256 first = a.firstInfluence;
        bool inside = influence.index >= first && influence.index < first + a.influenceCount;
        bool lies;
        if (answer.index != i.answer) {
            lies = inside;
        } else {
            lies = !inside || i.contributor == 0 || i.contributor >> ID_BITS != 0 || i.entry >> ENTRY_BITS != 0;
            if (!lies) lies = _chainWrong(id, h, a, i, influence.index, previous);
        }
        _convict(id, lies);
    }

    /// What the answer says of its spans and influences altogether is not what its last claim and last influence say (NONE
    /// where it has none); or it has too many influences, or some where none may be (both are ignored then).
    function refuteInfluenceEnd(
        uint256 id,
        AnswerOpening calldata answer,
        ClaimOpening calldata lastClaim,
        InfluenceOpening calldata lastInfluence
    ) external {
        Header memory h = ORACLE.headerOf(id);
        Answer memory a = Openings.answer(h, answer);
        uint256 count = a.influenceCount;
        bool lies = count > ORACLE.rulesOf(id).influencesMax
            || (count != 0 && (a.query == 0 || a.covered >= a.receipt.outputSize));
        if (!lies) {
            uint256 covered;
            uint256 scores;
            if (a.claimCount != 0) {
                if (lastClaim.index != uint256(a.firstClaim) + a.claimCount - 1) revert NotFraud();
                covered = Openings.claim(h, lastClaim).covered;
            }
            if (count != 0) {
                if (lastInfluence.index != a.firstInfluence + count - 1) revert NotFraud();
                scores = Openings.influence(h, lastInfluence).scoreSum;
            }
            lies = covered != a.covered || scores != a.scoreTotal;
        }
        _convict(id, lies);
    }

    // ------------------------------------------------------------ entries

    /// The influence's payment is not in the entry tree where it says; or it names an entry for nothing (`entry` is ignored
    /// then).
    function refuteInfluenceEntry(
        uint256 id,
        InfluenceOpening calldata influence,
        AnswerOpening calldata answer,
        EntryOpening calldata entry
    ) external {
        Header memory h = ORACLE.headerOf(id);
        (Influence memory i, Answer memory a) = _open(h, influence, answer);
        uint256 amount = _amount(i, a, ORACLE.rulesOf(id));
        bool lies;
        if (amount == 0) {
            lies = i.entry != 0;
        } else {
            if (entry.index != (uint256(i.contributor) << ENTRY_BITS | i.entry)) revert NotFraud();
            Openings.entry(h, entry);
            lies = !entry.present || entry.entry.answer != answer.index || entry.entry.claim != influence.index
                || entry.entry.slot != INFLUENCE_SLOT || entry.entry.value != amount;
        }
        _convict(id, lies);
    }

    /// An entry that says it pays an influence, which names another, is another's, or earns another amount. (One that no
    /// influence can have is refuted by `SumRefutations.refuteInvented`.)
    function refuteInfluenceInvented(
        uint256 id,
        EntryOpening calldata entry,
        InfluenceOpening calldata influence,
        AnswerOpening calldata answer
    ) external {
        Header memory h = ORACLE.headerOf(id);
        Openings.entry(h, entry);
        Entry calldata e = entry.entry;
        if (!entry.present || e.slot != INFLUENCE_SLOT || influence.index != e.claim) revert NotFraud();
        if (answer.index != e.answer) revert WrongAnswer(answer.index, e.answer);
        Influence memory i = Openings.influence(h, influence);
        Answer memory a = Openings.answer(h, answer);
        bool lies = i.answer != e.answer || (uint256(i.contributor) << ENTRY_BITS | i.entry) != entry.index
            || i.entry >> ENTRY_BITS != 0 || e.value != _amount(i, a, ORACLE.rulesOf(id));
        _convict(id, lies);
    }

    // ------------------------------------------------------------ internals

    function _convict(uint256 id, bool lies) internal {
        if (!lies) revert NotFraud();
        ORACLE.convict(id, Kind.INFLUENCE, msg.sender);
    }

    /// An influence and the answer that it says it is of.
    function _open(Header memory h, InfluenceOpening calldata influence, AnswerOpening calldata answer)
        internal
        pure
        returns (Influence memory i, Answer memory a)
    {
        Openings.influence(h, influence, i);
        if (i.answer != answer.index) revert WrongAnswer(answer.index, i.answer);
        Openings.answer(h, answer, a);
    }

    function _features(Header memory h, Answer memory a) internal view returns (bytes32 root, uint32 count) {
        (root, count) = FEATURES.inForce(a.receipt.adapter, h.asOf);
        if (count == 0) revert NoFeatures(a.receipt.adapter);
    }

    function _example(Header memory h, Answer memory a, FeatureOpening calldata row)
        internal
        view
        returns (FeatureRow memory, bytes calldata)
    {
        (bytes32 root, uint32 count) = _features(h, a);
        return FeatureRows.open(root, count, row);
    }

    /// Whether an example may be listed at all.
    function _listable(Header memory h, Answer memory a, FeatureRow memory r) internal view returns (bool) {
        if (r.duplicateOf != NONE) return false;
        (uint32 datanet,) = CORPORA.corpusOf(a.receipt.adapter);
        return !TAKEDOWNS.isDown(datanet, r.shard, r.document, h.asOf);
    }

    function _requireQuery(Answer memory a, bytes calldata query) internal pure {
        if (keccak256(query) != a.query) revert WrongQuery(keccak256(query), a.query);
    }

    function _scoreWrong(
        uint256 id,
        Header memory h,
        Influence memory i,
        Answer memory a,
        FeatureOpening calldata row,
        bytes calldata query
    ) internal view returns (bool) {
        (FeatureRow memory r, bytes calldata phi) = _example(h, a, row);
        if (r.contributor != i.contributor || !_listable(h, a, r)) return true; // whatever the score is
        (bool credited, uint256 score) = _score(id, a, phi, query);
        return !credited || score != i.score;
    }

    /// What an example scores for an answer, and whether that stands out of the noise; reverts over another query.
    function _score(uint256 id, Answer memory a, bytes calldata phi, bytes calldata query)
        internal
        view
        returns (bool credited, uint256)
    {
        _requireQuery(a, query);
        int256 score = Features.dot(phi, query);
        uint256 sigma = ORACLE.rulesOf(id).influenceSigma;
        credited = Features.credited(score, Features.norm2(phi), Features.norm2(query), sigma);
        return (credited, uint256(score)); // not negative where credited
    }

    /// Where an example stands in the order of the answer's list; reverts if it may not.
    function _rankOf(
        uint256 id,
        Header memory h,
        Answer memory a,
        FeatureOpening calldata row,
        bytes calldata query
    ) internal view returns (uint256) {
        (FeatureRow memory r, bytes calldata phi) = _example(h, a, row);
        if (!_listable(h, a, r)) revert NotFraud();
        (bool credited, uint256 score) = _score(id, a, phi, query);
        if (!credited) revert NotFraud();
        return _rank(score, row.index);
    }

    /// The order of a list in one number: by score, greatest first, then by example.
    function _rank(uint256 score, uint256 example) internal pure returns (uint256) {
        return (type(uint64).max - score) << 32 | example;
    }

    function _rank(Influence memory i) internal pure returns (uint256) {
        return _rank(i.score, i.example);
    }

    /// Whether the two are neighbours in the answer's list, or its ends, and `rank` lies strictly between them.
    function _between(
        uint256 id,
        Header memory h,
        Answer memory a,
        InfluenceOpening calldata previous,
        InfluenceOpening calldata next,
        uint256 rank
    ) internal view returns (bool) {
        uint256 place = a.firstInfluence; // where the example would stand
        uint256 last = place + a.influenceCount; // one past
        if (previous.index != NONE) {
            if (previous.index < place || previous.index >= last) return false;
            place = uint256(previous.index) + 1;
            if (_rank(Openings.influence(h, previous)) >= rank) return false;
        }
        if (next.index == NONE) return place == last && a.influenceCount < ORACLE.rulesOf(id).influencesMax;
        if (next.index != place || place >= last) return false;
        return rank < _rank(Openings.influence(h, next));
    }

    /// Whether the influence does not follow from the one before it, which must be shown unless it is the first.
    function _chainWrong(
        uint256 id,
        Header memory h,
        Answer memory a,
        Influence memory i,
        uint32 index,
        InfluenceOpening calldata previous
    ) internal view returns (bool) {
        uint256 scores = i.score;
        uint256 paid = _amount(i, a, ORACLE.rulesOf(id));
        if (index == a.firstInfluence) {
            if (previous.index != NONE) revert NotFraud();
        } else {
            if (uint256(previous.index) + 1 != index) revert NotFraud();
            Influence memory before = Openings.influence(h, previous);
            if (_rank(before) >= _rank(i)) return true;
            scores += before.scoreSum;
            paid += before.paid;
        }
        return i.scoreSum != scores || i.paid != paid;
    }

    /// Wei that an influence earns of what the answer's spans left uncovered, rounded down; 0 if they covered all.
    /// No overflow: a fee is below 2^128 wei, a size below 2^32, a score below 2^64, BPS below 2^14.
    function _amount(Influence memory i, Answer memory a, Parameters.Values memory p)
        internal
        pure
        returns (uint256)
    {
        (uint256 size, uint256 covered) = (a.receipt.outputSize, a.covered);
        if (covered >= size || a.scoreTotal == 0) return 0;
        uint256 others = uint256(p.platformBps) + p.modelBps + p.stakersBps;
        uint256 share = uint256(a.receipt.amount) * (BPS - others) / BPS;
        uint256 pot = share * (size - covered) * p.influenceBps / (size * BPS);
        return pot * i.score / a.scoreTotal;
    }
}
