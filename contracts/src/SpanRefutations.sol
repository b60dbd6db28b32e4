// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AttributionOracle} from "./AttributionOracle.sol";
import {
    Answer,
    AnswerOpening,
    Claim,
    ClaimOpening,
    DocumentOpening,
    Header,
    Holder,
    Kind,
    NONE,
    SLOTS
} from "./Batches.sol";
import {DatanetRegistry} from "./DatanetRegistry.sol";
import {Document, Documents} from "./Documents.sol";
import {ICorpora} from "./interfaces/ICorpora.sol";
import {Openings} from "./Openings.sol";
import {Receipt} from "./Receipts.sol";
import {Takedowns} from "./Takedowns.sol";
import {Text, TextOpening} from "./Text.sol";

/// What can be wrong with a span, against the texts: each function proves it by one or two windows of text and convicts
/// the batch, or reverts. Twin of `protocol/refute_spans.py`.
contract SpanRefutations {
    using Documents for Document;

    /// A span that has no claim, and a place in the corpus that holds it.
    struct Gap {
        uint32 start;
        uint32 length;
        uint32 shard;
        uint64 position;
    }

    AttributionOracle public immutable ORACLE;
    ICorpora public immutable CORPORA;
    DatanetRegistry public immutable DATANETS;
    Takedowns public immutable TAKEDOWNS;

    error NotFraud();
    error WrongAnswer(uint32 have, uint32 want);
    error OutsideCorpus(uint32 shard, uint32 shardCount);

    constructor(AttributionOracle oracle, ICorpora corpora, DatanetRegistry datanets, Takedowns takedowns) {
        ORACLE = oracle;
        CORPORA = corpora;
        DATANETS = datanets;
        TAKEDOWNS = takedowns;
    }

    /// The corpus does not hold the span where holder `slot` is said to have it, or it is no span at all. `corpus` is ignored
    /// where there is no such place.
    function refuteMismatch(
        uint256 id,
        ClaimOpening calldata claim,
        AnswerOpening calldata answer,
        uint32 slot,
        TextOpening calldata output,
        TextOpening calldata corpus
    ) external {
        (, Claim memory c, Answer memory a) = _open(id, claim, answer);
        if (slot >= c.holders) revert NotFraud();
        (bytes1 before, bytes memory span) = _output(a.receipt, c.start, uint256(c.start) + c.length, output);
        if (Text.startsWord(before, span[0]) && !Text.hasSeparator(span)) {
            Holder memory h = c.who[slot];
            (uint32 datanet, uint32 shardCount) = CORPORA.corpusOf(a.receipt.adapter);
            if (h.shard < shardCount && _holds(datanet, h.shard, h.position, corpus, span)) revert NotFraud();
        }
        _convict(id, Kind.MISMATCH);
    }

    /// A place in the corpus holds one byte more. `document`, which holds the place, is ignored unless some document of the
    /// Datanet was down.
    function refuteLonger(
        uint256 id,
        ClaimOpening calldata claim,
        AnswerOpening calldata answer,
        uint32 shard,
        uint64 position,
        DocumentOpening calldata document,
        TextOpening calldata output,
        TextOpening calldata corpus
    ) external {
        (Header memory h, Claim memory c, Answer memory a) = _open(id, claim, answer);
        (, uint32 spanMax,) = ORACLE.spanRulesOf(id);
        if (c.length >= spanMax) revert NotFraud();
        (, bytes memory span) = _output(a.receipt, c.start, uint256(c.start) + c.length + 1, output);
        _requireStanding(h, a.receipt.adapter, shard, position, document, corpus, span);
        _convict(id, Kind.LONGER);
    }

    /// A contributor who is not listed, or listed by a later place, holds the span before one who is, in a document that was
    /// not down.
    function refuteEarlier(
        uint256 id,
        ClaimOpening calldata claim,
        AnswerOpening calldata answer,
        uint32 shard,
        uint64 position,
        DocumentOpening calldata document,
        TextOpening calldata output,
        TextOpening calldata corpus
    ) external {
        (Header memory h, Claim memory c, Answer memory a) = _open(id, claim, answer);
        (, bytes memory span) = _output(a.receipt, c.start, uint256(c.start) + c.length, output);
        uint32 contributor = _holderAt(h, a.receipt.adapter, shard, position, document, corpus, span);
        _requireDisplaced(id, c, shard, position, contributor);
        _convict(id, Kind.EARLIER);
    }

    /// `gap.start`, a word start of the answer between two adjacent claims, begins a span that reaches beyond the claims
    /// before it. `previous` and `next` are NONE where the answer has no such claim; `document` as in `refuteLonger`.
    function refuteOmitted(
        uint256 id,
        AnswerOpening calldata answer,
        ClaimOpening calldata previous,
        ClaimOpening calldata next,
        Gap calldata gap,
        DocumentOpening calldata document,
        TextOpening calldata output,
        TextOpening calldata corpus
    ) external {
        Header memory h = ORACLE.claimsOf(id);
        Answer memory a = Openings.answer(h, answer);
        _requireGap(id, h, a, previous, next, gap);
        (bytes1 before, bytes memory span) = _output(a.receipt, gap.start, uint256(gap.start) + gap.length, output);
        if (!Text.startsWord(before, span[0])) revert NotFraud();
        _requireStanding(h, a.receipt.adapter, gap.shard, gap.position, document, corpus, span);
        _convict(id, Kind.OMITTED);
    }

    /// Holder `slot` names a document that does not hold the span, or another's. `document` is ignored if there is none.
    function refuteContributor(
        uint256 id,
        ClaimOpening calldata claim,
        AnswerOpening calldata answer,
        uint32 slot,
        DocumentOpening calldata document
    ) external {
        (, Claim memory c, Answer memory a) = _open(id, claim, answer);
        if (slot >= c.holders) revert NotFraud();
        Holder memory h = c.who[slot];
        (bytes32 table, uint32 documents) = DATANETS.tableOf(_datanet(a.receipt.adapter, h.shard), h.shard);
        if (h.document < documents) {
            if (document.index != h.document) revert NotFraud();
            Document memory d = Documents.open(table, documents, document);
            if (d.holds(h.position, c.length) && d.contributor == h.contributor) revert NotFraud();
        }
        _convict(id, Kind.CONTRIBUTOR);
    }

    /// Holder `slot` names a document that was down.
    function refuteTakenDown(
        uint256 id,
        ClaimOpening calldata claim,
        AnswerOpening calldata answer,
        uint32 slot
    ) external {
        (Header memory h, Claim memory c, Answer memory a) = _open(id, claim, answer);
        if (slot >= c.holders) revert NotFraud();
        (uint32 datanet,) = CORPORA.corpusOf(a.receipt.adapter);
        if (!TAKEDOWNS.isDown(datanet, c.who[slot].shard, c.who[slot].document, h.asOf)) revert NotFraud();
        _convict(id, Kind.TAKEN_DOWN);
    }

    /// The prompt's byte `place` begins the span and the claim says none or a later place; or, with `place` + 1 the claimed
    /// echo, the prompt does not hold the span there.
    function refuteEcho(
        uint256 id,
        ClaimOpening calldata claim,
        AnswerOpening calldata answer,
        uint32 place,
        TextOpening calldata output,
        TextOpening calldata prompt
    ) external {
        (, Claim memory c, Answer memory a) = _open(id, claim, answer);
        (, bytes memory span) = _output(a.receipt, c.start, uint256(c.start) + c.length, output);
        bytes memory there =
            Text.window(a.receipt.promptRoot, a.receipt.promptSize, place, uint256(place) + c.length, prompt);
        uint256 echo = uint256(place) + 1;
        bool lies = Text.same(span, there) ? c.echo == 0 || echo < c.echo : echo == c.echo;
        if (!lies) revert NotFraud();
        _convict(id, Kind.ECHO);
    }

    // ------------------------------------------------------------ internals

    function _convict(uint256 id, uint8 kind) internal {
        ORACLE.convict(id, kind, msg.sender);
    }

    /// A claim and the answer that it says it is of.
    function _open(uint256 id, ClaimOpening calldata claim, AnswerOpening calldata answer)
        internal
        view
        returns (Header memory h, Claim memory c, Answer memory a)
    {
        h = ORACLE.claimsOf(id);
        Openings.claim(h, claim, c);
        if (c.answer != answer.index) revert WrongAnswer(answer.index, c.answer);
        Openings.answer(h, answer, a);
    }

    function _output(Receipt memory receipt, uint256 from, uint256 to, TextOpening calldata t)
        internal
        view
        returns (bytes1 before, bytes memory span)
    {
        return Text.windowAfter(receipt.outputRoot, receipt.outputSize, from, to, t);
    }

    /// The Datanet of the adapter's corpus, which must have that shard.
    function _datanet(bytes32 adapter, uint32 index) internal view returns (uint32 datanet) {
        uint32 shardCount;
        (datanet, shardCount) = CORPORA.corpusOf(adapter);
        if (index >= shardCount) revert OutsideCorpus(index, shardCount);
    }

    /// Whether `span` begins at a word start of the shard, at `position`. The opening is ignored where the shard ends before.
    function _holds(
        uint32 datanet,
        uint32 index,
        uint256 position,
        TextOpening calldata corpus,
        bytes memory span
    ) internal view returns (bool) {
        (bytes32 root, uint64 size) = DATANETS.textOf(datanet, index);
        uint256 end = position + span.length;
        if (end > size) return false;
        (bytes1 before, bytes memory there) = Text.windowAfter(root, size, position, end, corpus);
        return Text.startsWord(before, there[0]) && Text.same(there, span);
    }

    function _requireHeld(
        uint32 datanet,
        uint32 index,
        uint256 position,
        TextOpening calldata corpus,
        bytes memory span
    ) internal view {
        if (Text.hasSeparator(span) || !_holds(datanet, index, position, corpus, span)) revert NotFraud();
    }

    /// The document, which must hold the place.
    function _requireIn(
        uint32 datanet,
        uint32 index,
        uint256 position,
        uint256 length,
        DocumentOpening calldata document
    ) internal view returns (Document memory d) {
        (bytes32 table, uint32 documents) = DATANETS.tableOf(datanet, index);
        d = Documents.open(table, documents, document);
        if (!d.holds(position, length)) revert NotFraud();
    }

    /// Whose document holds the span at the place; reverts unless one does that was not down.
    function _holderAt(
        Header memory h,
        bytes32 adapter,
        uint32 index,
        uint64 position,
        DocumentOpening calldata document,
        TextOpening calldata corpus,
        bytes memory span
    ) internal view returns (uint32) {
        uint32 datanet = _datanet(adapter, index);
        _requireHeld(datanet, index, position, corpus, span);
        if (TAKEDOWNS.isDown(datanet, index, document.index, h.asOf)) revert NotFraud();
        return _requireIn(datanet, index, position, span.length, document).contributor;
    }

    /// Reverts unless the corpus holds `span` at the place, in no document that was down.
    function _requireStanding(
        Header memory h,
        bytes32 adapter,
        uint32 index,
        uint64 position,
        DocumentOpening calldata document,
        TextOpening calldata corpus,
        bytes memory span
    ) internal view {
        uint32 datanet = _datanet(adapter, index);
        _requireHeld(datanet, index, position, corpus, span);
        if (TAKEDOWNS.anyDown(datanet, h.asOf)) {
            _requireIn(datanet, index, position, span.length, document);
            if (TAKEDOWNS.isDown(datanet, index, document.index, h.asOf)) revert NotFraud();
        }
    }

    /// Reverts unless `contributor`, who holds the span at (shard, position), belongs before somebody listed, or among them.
    function _requireDisplaced(uint256 id, Claim memory c, uint32 shard, uint64 position, uint32 contributor)
        internal
        view
    {
        uint256 holders = c.holders < SLOTS ? c.holders : SLOTS;
        for (uint256 i = 0; i < holders; ++i) {
            if (c.who[i].contributor == contributor) {
                if (!_before(shard, position, c.who[i])) revert NotFraud();
                return;
            }
        }
        (,, uint32 holdersMax) = ORACLE.spanRulesOf(id);
        if (holders >= holdersMax && !_before(shard, position, c.who[holders - 1])) revert NotFraud();
    }

    function _before(uint32 shard, uint64 position, Holder memory h) internal pure returns (bool) {
        return shard < h.shard || (shard == h.shard && position < h.position);
    }

    /// Reverts unless the gap may be a span, the two claims are adjacent ones of the answer (or its ends), the gap starts
    /// strictly between them and ends beyond the end of the first.
    function _requireGap(
        uint256 id,
        Header memory h,
        Answer memory a,
        ClaimOpening calldata previous,
        ClaimOpening calldata next,
        Gap calldata gap
    ) internal view {
        (uint32 spanMin, uint32 spanMax,) = ORACLE.spanRulesOf(id);
        if (gap.length < spanMin || gap.length > spanMax) revert NotFraud();
        uint256 place = a.firstClaim; // where a claim for the gap would stand
        uint256 last = place + a.claimCount; // one past
        if (previous.index != NONE) {
            if (previous.index < place || previous.index >= last) revert NotFraud();
            place = uint256(previous.index) + 1;
            Claim memory before = Openings.claim(h, previous);
            uint256 end = uint256(before.start) + before.length;
            if (before.start >= gap.start || end >= uint256(gap.start) + gap.length) revert NotFraud();
        }
        if (next.index != NONE) {
            if (next.index != place || place >= last) revert NotFraud();
            if (Openings.claim(h, next).start <= gap.start) revert NotFraud();
        } else if (place != last) {
            revert NotFraud();
        }
    }
}
