// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AttributionOracle} from "./AttributionOracle.sol";
import {
    Answer,
    AnswerOpening,
    Batch,
    Claim,
    ClaimOpening,
    DocumentOpening,
    Header,
    Holder,
    Kind,
    NONE
} from "./Batches.sol";
import {DatanetRegistry} from "./DatanetRegistry.sol";
import {Document, Documents} from "./Documents.sol";
import {ICorpora} from "./interfaces/ICorpora.sol";
import {Openings} from "./Openings.sol";
import {Parameters} from "./Parameters.sol";
import {Receipt} from "./Receipts.sol";
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

    error NotFraud();
    error WrongAnswer(uint32 have, uint32 want);
    error OutsideCorpus(uint32 shard, uint32 shardCount);

    constructor(AttributionOracle oracle, ICorpora corpora, DatanetRegistry datanets) {
        ORACLE = oracle;
        CORPORA = corpora;
        DATANETS = datanets;
    }

    /// The corpus does not hold the span where holder `slot` is said to have it, or it is no span at all.
    function refuteMismatch(
        uint256 id,
        ClaimOpening calldata claim,
        AnswerOpening calldata answer,
        uint32 slot,
        TextOpening calldata output,
        TextOpening calldata corpus
    ) external {
        (Claim memory c, Answer memory a,) = _open(id, claim, answer);
        if (slot >= c.holders) revert NotFraud();
        Holder memory h = c.who[slot];
        (bytes1 before, bytes memory span) = _output(a.receipt, c.start, uint256(c.start) + c.length, output);
        if (Text.startsWord(before, span[0]) && !Text.hasSeparator(span)) {
            (uint32 datanet, uint32 shardCount) = CORPORA.corpusOf(a.receipt.adapter);
            if (h.shard < shardCount) {
                DatanetRegistry.Shard memory shard = DATANETS.shardOf(datanet, h.shard);
                uint256 end = uint256(h.position) + c.length;
                if (end <= shard.textSize && _holds(shard, h.position, end, corpus, span)) revert NotFraud();
            }
        }
        ORACLE.convict(id, Kind.MISMATCH, msg.sender);
    }

    /// A place in the corpus holds one byte more.
    function refuteLonger(
        uint256 id,
        ClaimOpening calldata claim,
        AnswerOpening calldata answer,
        uint32 shard,
        uint64 position,
        TextOpening calldata output,
        TextOpening calldata corpus
    ) external {
        (Claim memory c, Answer memory a, Parameters.Values memory p) = _open(id, claim, answer);
        if (c.length >= p.spanMax) revert NotFraud();
        (, bytes memory span) = _output(a.receipt, c.start, uint256(c.start) + c.length + 1, output);
        _requireHeld(a.receipt.adapter, shard, position, corpus, span);
        ORACLE.convict(id, Kind.LONGER, msg.sender);
    }

    /// A contributor who is not listed, or listed by a later place, holds the span before one who is.
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
        (Claim memory c, Answer memory a, Parameters.Values memory p) = _open(id, claim, answer);
        (, bytes memory span) = _output(a.receipt, c.start, uint256(c.start) + c.length, output);
        DatanetRegistry.Shard memory s = _requireHeld(a.receipt.adapter, shard, position, corpus, span);
        Document memory d = Documents.open(s.documentRoot, s.documentCount, document);
        if (!d.holds(position, c.length) || !_displaces(c, p.holdersMax, shard, position, d.contributor)) {
            revert NotFraud();
        }
        ORACLE.convict(id, Kind.EARLIER, msg.sender);
    }

    /// `gap.start`, a word start of the answer between two adjacent claims, begins a span that reaches beyond the claims
    /// before it. `previous` and `next` are NONE where the answer has no such claim.
    function refuteOmitted(
        uint256 id,
        AnswerOpening calldata answer,
        ClaimOpening calldata previous,
        ClaimOpening calldata next,
        Gap calldata gap,
        TextOpening calldata output,
        TextOpening calldata corpus
    ) external {
        Receipt memory receipt = _openGap(id, answer, previous, next, gap);
        (bytes1 before, bytes memory span) = _output(receipt, gap.start, uint256(gap.start) + gap.length, output);
        if (!Text.startsWord(before, span[0])) revert NotFraud();
        _requireHeld(receipt.adapter, gap.shard, gap.position, corpus, span);
        ORACLE.convict(id, Kind.OMITTED, msg.sender);
    }

    /// Holder `slot` names a document that does not hold the span, or another's. `document` is ignored if there is none.
    function refuteContributor(
        uint256 id,
        ClaimOpening calldata claim,
        AnswerOpening calldata answer,
        uint32 slot,
        DocumentOpening calldata document
    ) external {
        (Claim memory c, Answer memory a,) = _open(id, claim, answer);
        if (slot >= c.holders) revert NotFraud();
        Holder memory h = c.who[slot];
        DatanetRegistry.Shard memory shard = _shard(a.receipt.adapter, h.shard);
        if (h.document < shard.documentCount) {
            if (document.index != h.document) revert NotFraud();
            Document memory d = Documents.open(shard.documentRoot, shard.documentCount, document);
            if (d.holds(h.position, c.length) && d.contributor == h.contributor) revert NotFraud();
        }
        ORACLE.convict(id, Kind.CONTRIBUTOR, msg.sender);
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
        (Claim memory c, Answer memory a,) = _open(id, claim, answer);
        (, bytes memory span) = _output(a.receipt, c.start, uint256(c.start) + c.length, output);
        bytes memory there =
            Text.window(a.receipt.promptRoot, a.receipt.promptSize, place, uint256(place) + c.length, prompt);
        uint256 echo = uint256(place) + 1;
        bool lies = Text.same(span, there) ? c.echo == 0 || echo < c.echo : echo == c.echo;
        if (!lies) revert NotFraud();
        ORACLE.convict(id, Kind.ECHO, msg.sender);
    }

    // ------------------------------------------------------------ internals

    function _open(uint256 id, ClaimOpening calldata claim, AnswerOpening calldata answer)
        internal
        view
        returns (Claim memory c, Answer memory a, Parameters.Values memory p)
    {
        Batch memory batch;
        (batch, p) = ORACLE.refutable(id);
        c = Openings.claim(batch.header, claim);
        if (c.answer != answer.index) revert WrongAnswer(answer.index, c.answer);
        a = Openings.answer(batch.header, answer);
    }

    function _openGap(
        uint256 id,
        AnswerOpening calldata answer,
        ClaimOpening calldata previous,
        ClaimOpening calldata next,
        Gap calldata gap
    ) internal view returns (Receipt memory) {
        (Batch memory batch, Parameters.Values memory p) = ORACLE.refutable(id);
        if (gap.length < p.spanMin || gap.length > p.spanMax) revert NotFraud();
        Answer memory a = Openings.answer(batch.header, answer);
        _requireBetween(batch.header, a, previous, next, gap.start, uint256(gap.start) + gap.length);
        return a.receipt;
    }

    function _output(Receipt memory receipt, uint256 from, uint256 to, TextOpening calldata t)
        internal
        view
        returns (bytes1 before, bytes memory span)
    {
        return Text.windowAfter(receipt.outputRoot, receipt.outputSize, from, to, t);
    }

    function _shard(bytes32 adapter, uint32 index) internal view returns (DatanetRegistry.Shard memory) {
        (uint32 datanet, uint32 shardCount) = CORPORA.corpusOf(adapter);
        if (index >= shardCount) revert OutsideCorpus(index, shardCount);
        return DATANETS.shardOf(datanet, index);
    }

    /// Whether `span` begins at a word start of the shard, at `position`.
    function _holds(
        DatanetRegistry.Shard memory shard,
        uint256 position,
        uint256 end,
        TextOpening calldata corpus,
        bytes memory span
    ) internal view returns (bool) {
        (bytes1 before, bytes memory there) =
            Text.windowAfter(shard.textRoot, shard.textSize, position, end, corpus);
        return Text.startsWord(before, there[0]) && Text.same(there, span);
    }

    function _requireHeld(
        bytes32 adapter,
        uint32 index,
        uint64 position,
        TextOpening calldata corpus,
        bytes memory span
    ) internal view returns (DatanetRegistry.Shard memory shard) {
        shard = _shard(adapter, index);
        if (Text.hasSeparator(span)) revert NotFraud();
        if (!_holds(shard, position, uint256(position) + span.length, corpus, span)) revert NotFraud();
    }

    /// Whether `contributor`, who holds the span at (shard, position), belongs before somebody listed, or among them.
    function _displaces(Claim memory c, uint256 holdersMax, uint32 shard, uint64 position, uint32 contributor)
        internal
        pure
        returns (bool)
    {
        uint256 holders = c.holders < c.who.length ? c.holders : c.who.length;
        for (uint256 i = 0; i < holders; ++i) {
            if (c.who[i].contributor == contributor) return _before(shard, position, c.who[i]);
        }
        return holders < holdersMax || _before(shard, position, c.who[holders - 1]);
    }

    function _before(uint32 shard, uint64 position, Holder memory h) internal pure returns (bool) {
        return shard < h.shard || (shard == h.shard && position < h.position);
    }

    /// Reverts unless the two are adjacent claims of the answer (or its ends), `start` lies strictly between them and
    /// `end` beyond the end of the first.
    function _requireBetween(
        Header memory header,
        Answer memory a,
        ClaimOpening calldata previous,
        ClaimOpening calldata next,
        uint256 start,
        uint256 end
    ) internal pure {
        uint256 first = a.firstClaim;
        uint256 last = first + a.claimCount; // one past
        uint256 place = first; // where a claim for `start` would stand
        if (previous.index != NONE) {
            place = uint256(previous.index) + 1;
            if (place <= first || place > last) revert NotFraud();
            Claim memory before = Openings.claim(header, previous);
            if (before.start >= start || uint256(before.start) + before.length >= end) revert NotFraud();
        }
        if (next.index != NONE) {
            if (next.index != place || place >= last) revert NotFraud();
            if (Openings.claim(header, next).start <= start) revert NotFraud();
        } else if (place != last) {
            revert NotFraud();
        }
    }
}
