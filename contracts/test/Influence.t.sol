// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {
    Answer,
    AnswerOpening,
    Claim,
    ClaimOpening,
    DocumentOpening,
    Entry,
    ENTRY_BITS,
    ENTRY_DEPTH,
    EntryOpening,
    FeatureOpening,
    Header,
    Influence,
    INFLUENCE_SLOT,
    InfluenceOpening,
    NONE,
    Status
} from "../src/Batches.sol";
import {InfluenceRefutations} from "../src/InfluenceRefutations.sol";
import {ICorpora} from "../src/interfaces/ICorpora.sol";
import {Merkle} from "../src/Merkle.sol";
import {Parameters} from "../src/Parameters.sol";
import {SumMerkle} from "../src/SumMerkle.sol";
import {Corpus} from "./Corpus.t.sol";
import {FeaturesUnderTest} from "./Features.t.sol";
import {Packing} from "./Packing.t.sol";

/// Batches of one answer and its influences, honest and with one thing wrong. `search` tries everything that there is to
/// show, as a validator would.
contract InfluenceTest is Corpus {
    uint32 constant SIZE = 100; // bytes of the output
    FeaturesUnderTest arithmetic = new FeaturesUnderTest();
    InfluenceRefutations influences;
    bytes psi;
    Answer answer;
    Influence[] list;
    uint64[] places; // of the entries, rising
    Entry[] entries_;
    Claim claim; // the one that an answer with claims has
    uint64 inflated; // what the score total is too great by

    function setUp() public {
        gather();
        rows.push(row(1, 1, 1, NONE, phi(3)));
        rows.push(row(1, 2, 2, NONE, phi(4)));
        // Half of row 0, a quarter of rows 1 and 3; row 2 is near row 1, row 4 has nothing to do with it.
        (bytes memory a, bytes memory b, bytes memory c) = (phi(0), phi(1), phi(3));
        for (uint256 i = 1024; i < K; ++i) a[i] = i < 1536 ? b[i] : c[i];
        psi = a;
        influences = new InfluenceRefutations(oracle, features, ICorpora(address(models)), takedowns);
        authority.grantRole(4, address(influences), 0);
    }

    function inForce() internal {
        seed();
        uint256 id = publishSet();
        vm.warp(block.timestamp + 1 days);
        features.finalize(id);
        vm.warp(block.timestamp + 10);
    }

    // ------------------------------------------------------------ a batch

    /// The honest answer; `skip` has a bit for each row that must not be listed.
    function tell(uint256 skip) internal {
        inForce();
        Lie memory none;
        answer = answerOf(FEE, FEE, none);
        answer.receipt.adapter = MODEL;
        answer.receipt.outputSize = SIZE;
        answer.query = keccak256(psi);
        for (uint32 j = 0; j < rows.length; ++j) {
            (uint32 contributor, bytes memory feature) = parts(rows[j]);
            int256 score = arithmetic.dot(feature, psi);
            bool credited = score > 0 && 2048 * uint256(score) ** 2 * 10_000
                > 90_000 * arithmetic.norm2(feature) * arithmetic.norm2(psi);
            if (credited && skip >> j & 1 == 0) insert(Influence(0, j, contributor, 0, uint64(uint256(score)), 0, 0));
        }
        reckon();
    }

    function parts(bytes memory r) internal pure returns (uint32 contributor, bytes memory feature) {
        feature = new bytes(K);
        assembly ("memory-safe") {
            contributor := and(mload(add(r, 12)), 0xffffffff)
            mcopy(add(feature, 32), add(r, 80), 2048)
        }
    }

    function insert(Influence memory i) internal {
        list.push(i);
        for (uint256 k = list.length - 1; k > 0 && list[k - 1].score < i.score; --k) {
            list[k] = list[k - 1];
            list[k - 1] = i;
        }
    }

    /// Sums, amounts and entries that follow from the list.
    function reckon() internal {
        answer.influenceCount = uint32(list.length);
        uint256 total;
        for (uint256 k = 0; k < list.length; ++k) total += list[k].score;
        total += inflated;
        answer.scoreTotal = uint64(total);
        uint256 pot = answer.covered < SIZE ? uint256(share(FEE)) * (SIZE - answer.covered) / SIZE : 0;
        (uint256 scores, uint256 paid) = (0, 0);
        delete places;
        delete entries_;
        uint32[5] memory numbers;
        for (uint32 k = 0; k < list.length; ++k) {
            uint256 amount = total == 0 ? 0 : pot * list[k].score / total;
            scores += list[k].score;
            paid += amount;
            uint32 contributor = list[k].contributor % 5;
            list[k].entry = amount == 0 ? 0 : numbers[contributor]++;
            (list[k].scoreSum, list[k].paid) = (uint64(scores), uint128(paid));
            if (amount != 0) {
                enter(uint64(contributor) << uint64(ENTRY_BITS) | list[k].entry, Entry(0, k, uint8(INFLUENCE_SLOT), uint128(amount)));
            }
        }
    }

    function enter(uint64 place, Entry memory e) internal {
        places.push(place);
        entries_.push(e);
        for (uint256 k = places.length - 1; k > 0 && places[k - 1] > place; --k) {
            (places[k], places[k - 1]) = (places[k - 1], place);
            entries_[k] = entries_[k - 1];
            entries_[k - 1] = e;
        }
    }

    function posted() internal returns (uint256) {
        Header memory h;
        h.answersRoot = keccak256(abi.encodePacked(uint8(0), Merkle.ANSWER, abi.encode(answer)));
        bytes memory leaf = answer.claimCount == 0
            ? bytes(hex"02")
            : abi.encodePacked(uint8(0), Merkle.CLAIM, abi.encode(claim));
        (h.claimsRoot, h.claimCount) = (keccak256(leaf), answer.claimCount);
        (h.influencesRoot,) = tree(false, Merkle.INFLUENCE, leaves(), 0);
        (h.entriesRoot, h.total,) = entryTree(0);
        (h.totalsRoot, h.dataRoot, h.dataSize) = ("totals", "body", 4);
        (h.answerCount, h.influenceCount) = (1, uint32(list.length));
        return post(h);
    }

    function leaves() internal view returns (bytes[] memory all) {
        all = new bytes[](list.length);
        for (uint256 k = 0; k < list.length; ++k) all[k] = abi.encode(list[k]);
    }

    /// Root and sum of the entries, and the siblings of place `at`.
    function entryTree(uint64 at)
        internal
        view
        returns (bytes32, uint128, SumMerkle.Sibling[] memory proof)
    {
        uint256 n = places.length;
        uint64[] memory where = places;
        SumMerkle.Sibling[] memory nodes = new SumMerkle.Sibling[](n + 1);
        for (uint256 k = 0; k < n; ++k) {
            Entry memory e = entries_[k];
            nodes[k] = SumMerkle.Sibling(SumMerkle.entryLeaf(e.answer, e.claim, e.slot, e.value), e.value);
        }
        proof = new SumMerkle.Sibling[](ENTRY_DEPTH);
        SumMerkle.Sibling memory empty = SumMerkle.Sibling(SumMerkle.ABSENT, 0);
        for (uint256 d = 0; d < ENTRY_DEPTH; ++d) {
            proof[d] = empty;
            uint256 m;
            for (uint256 k = 0; k < n; ++k) {
                if (where[k] == at ^ 1) proof[d] = nodes[k];
                bool pair = k + 1 < n && where[k] & 1 == 0 && where[k + 1] == where[k] | 1;
                SumMerkle.Sibling memory other = pair ? nodes[k + 1] : empty;
                if (pair && where[k + 1] == at ^ 1) proof[d] = nodes[k + 1];
                nodes[m] = where[k] & 1 == 0 ? over(nodes[k], other) : over(empty, nodes[k]);
                where[m++] = where[k] >> 1;
                if (pair) ++k;
            }
            (n, at) = (m, at >> 1);
            empty = over(empty, empty);
        }
        return n == 0 ? (empty.hash, 0, proof) : (nodes[0].hash, nodes[0].sum, proof);
    }

    function over(SumMerkle.Sibling memory l, SumMerkle.Sibling memory r)
        internal
        pure
        returns (SumMerkle.Sibling memory)
    {
        return SumMerkle.Sibling(SumMerkle.node(l.hash, r.hash, l.sum, r.sum), l.sum + r.sum);
    }

    // ------------------------------------------------------------ what can be shown

    function shownAnswer() internal view returns (AnswerOpening memory) {
        Answer memory a = answer;
        return AnswerOpening(0, Packing.packed(a), new bytes32[](0));
    }

    function shown(uint256 k) internal view returns (InfluenceOpening memory) {
        if (k >= list.length) return noInfluence();
        Influence memory i = list[k];
        (, bytes32[] memory proof) = tree(false, Merkle.INFLUENCE, leaves(), k);
        return InfluenceOpening(uint32(k), Packing.packed(i), proof);
    }

    function shownClaim() internal view returns (ClaimOpening memory) {
        Claim memory c = claim;
        return answer.claimCount == 0 ? noClaim() : ClaimOpening(0, Packing.packed(c), new bytes32[](0));
    }

    function shownEntry(uint64 at) internal view returns (EntryOpening memory o) {
        o.index = at;
        (,, o.proof) = entryTree(at);
        for (uint256 k = 0; k < places.length; ++k) {
            if (places[k] == at) (o.present, o.entry) = (true, entries_[k]);
        }
    }

    function convicts(bytes memory call) internal returns (bool ok) {
        (ok,) = address(influences).call(call);
    }

    /// Everything that there is to show, until something convicts.
    function search(uint256 id) internal returns (bool) {
        AnswerOpening memory a = shownAnswer();
        if (convicts(abi.encodeCall(influences.refuteQuery, (id, a, psi)))) return true;
        for (uint256 k = 0; k <= list.length; ++k) {
            if (convicts(abi.encodeCall(influences.refuteInfluenceEnd, (id, a, shownClaim(), shown(k))))) return true;
            for (uint256 j = 0; j <= list.length; ++j) {
                if (convicts(abi.encodeCall(influences.refuteInfluence, (id, shown(k), a, shown(j))))) return true;
            }
        }
        return searchEntries(id, a) || searchRows(id, a);
    }

    function searchEntries(uint256 id, AnswerOpening memory a) internal returns (bool) {
        for (uint256 k = 0; k < list.length; ++k) {
            EntryOpening memory e = shownEntry(uint64(list[k].contributor) << uint64(ENTRY_BITS) | list[k].entry);
            if (convicts(abi.encodeCall(influences.refuteInfluenceEntry, (id, shown(k), a, e)))) return true;
            for (uint256 j = 0; j < places.length; ++j) {
                e = shownEntry(places[j]);
                if (convicts(abi.encodeCall(influences.refuteInfluenceEntry, (id, shown(k), a, e)))) return true;
                if (convicts(abi.encodeCall(influences.refuteInfluenceInvented, (id, e, shown(k), a)))) return true;
            }
        }
        return false;
    }

    function searchRows(uint256 id, AnswerOpening memory a) internal returns (bool) {
        bytes memory query = psi;
        for (uint256 r = 0; r < rows.length; ++r) {
            FeatureOpening memory o = openedRow(r);
            for (uint256 k = 0; k <= list.length; ++k) {
                InfluenceOpening memory first = shown(k);
                if (convicts(abi.encodeCall(influences.refuteScore, (id, first, a, o, query)))) return true;
                for (uint256 j = 0; j <= list.length; ++j) {
                    if (convicts(abi.encodeCall(influences.refuteMissing, (id, a, first, shown(j), o, query)))) return true;
                }
            }
        }
        return false;
    }

    function lies(uint256 id) internal {
        require(search(id), "a lie stands");
        require(statusOf(id) == Status.Slashed, "not slashed");
        eq(oracle.batchOf(id).bond * 3 / 10, vault.credit(address(this)), "reward");
    }

    function stands(uint256 id) internal {
        require(!search(id), "an honest batch was convicted");
        require(statusOf(id) == Status.Pending, "pending");
    }

    // ------------------------------------------------------------ laws

    function test_anHonestListStands() public {
        tell(4);
        eq(list.length, 3, "influences");
        require(list[0].example == 0 && list[1].score != list[2].score, "in order");
        stands(posted());
    }

    function test_nothingInfluencesStands() public {
        psi = phi(99);
        tell(0);
        eq(list.length, 0, "none");
        stands(posted());
    }

    /// forge-config: default.fuzz.runs = 96
    function testFuzz_aWrongFieldConvicts(uint256 at, uint256 field, uint64 value) public {
        tell(4);
        at = bound(at, 0, 2);
        field = bound(field, 0, 9);
        Influence storage i = list[at];
        bytes32 before = keccak256(abi.encode(answer, list, entries_));
        if (value % 3 != 0) value = uint64(bound(value, 0, 4));
        if (field == 0) i.answer = uint32(value);
        if (field == 1) i.example = uint32(value);
        if (field == 2) i.contributor = uint32(value);
        if (field == 3) i.entry = uint32(value);
        if (field == 4) i.score = value;
        if (field == 5) i.scoreSum = value;
        if (field == 6) i.paid = value;
        if (field == 7) answer.covered = uint32(value);
        if (field == 8) answer.scoreTotal = value;
        if (field == 9) entries_[at].value = value | 1;
        vm.assume(keccak256(abi.encode(answer, list, entries_)) != before);
        lies(posted());
    }

    /// Also where all sums and entries follow from the lie.
    /// forge-config: default.fuzz.runs = 64
    function testFuzz_aWrongListConvicts(uint256 at, uint256 field, uint32 value) public {
        tell(4);
        at = bound(at, 0, 2);
        field = bound(field, 0, 3);
        bytes32 before = keccak256(abi.encode(list));
        if (field == 0) list[at].score = uint64(bound(value, 0, 3_000_000));
        if (field == 1) list[at].example = uint32(bound(value, 0, 6));
        if (field == 2) list[at].contributor = uint32(bound(value, 1, 4));
        if (field == 3) swap(at, (at + 1) % 3);
        reckon();
        vm.assume(keccak256(abi.encode(list)) != before);
        lies(posted());
    }

    function swap(uint256 k, uint256 j) internal {
        Influence memory i = list[k];
        list[k] = list[j];
        list[j] = i;
    }

    function drop(uint256 at) internal {
        for (; at + 1 < list.length; ++at) list[at] = list[at + 1];
        list.pop();
        reckon();
    }

    function test_whatIsLeftOutConvicts() public {
        tell(4);
        drop(0);
        lies(posted());
    }

    function test_whatIsLeftOutInTheMiddleConvicts() public {
        tell(4);
        drop(1);
        lies(posted());
    }

    function test_whatIsLeftOutAtTheEndConvicts() public {
        tell(4);
        drop(2);
        lies(posted());
    }

    function test_anEmptyListConvicts() public {
        tell(31);
        lies(posted());
    }

    function test_aDuplicateThatIsListedConvicts() public {
        tell(0);
        eq(list.length, 4, "with row 2");
        lies(posted());
    }

    function test_whatDoesNotStandOutIsNotListed() public {
        uint256 number = 4; // one that chance puts on the right side
        while (arithmetic.dot(phi(number), psi) <= 0) ++number;
        rows[4] = row(1, 2, 2, NONE, phi(number));
        tell(4);
        eq(list.length, 3, "row 4 is noise");
        list.push(Influence(0, 4, 2, 0, uint64(uint256(arithmetic.dot(phi(number), psi))), 0, 0));
        reckon();
        lies(posted());
    }

    function takeDown() internal {
        DocumentOpening memory o = openedDocument(0, 0);
        vm.prank(authors[1]);
        takedowns.takeDown(1, 0, o);
    }

    /// As if it had never been, from the block after it was taken down.
    function test_whatIsDownIsNotListed() public {
        tell(5);
        takeDown();
        vm.warp(block.timestamp + 1);
        stands(posted());
    }

    function test_whatIsDownAndListedConvicts() public {
        tell(4);
        takeDown();
        vm.warp(block.timestamp + 1);
        lies(posted());
    }

    function test_whatIsTakenDownLaterIsListed() public {
        tell(4);
        uint256 id = posted();
        takeDown();
        stands(id);
    }

    /// Examples of one score stand by their number.
    function tie() internal {
        bytes memory other = phi(1);
        (uint256 more, uint256 less) = (60, 60);
        for (uint256 i = 0; i < K; ++i) {
            bool same = other[i] == psi[i];
            if (same ? more == 0 : less == 0) continue;
            other[i] = other[i] == 0x20 ? bytes1(0xe0) : bytes1(0x20);
            same ? --more : --less;
        }
        rows[3] = row(1, 1, 1, NONE, other);
        tell(4);
        require(list[1].score == list[2].score && list[1].example == 1 && list[2].example == 3, "a tie");
    }

    function test_equalScoresStandByTheirNumber() public {
        tie();
        stands(posted());
    }

    function test_equalScoresInAnotherOrderConvict() public {
        tie();
        swap(1, 2);
        reckon();
        lies(posted());
    }

    function cover(uint32 size) internal {
        (answer.claimCount, answer.covered, claim.covered) = (1, size, size);
    }

    function test_whatSpansCoverIsNotShared() public {
        tell(4);
        cover(40);
        reckon();
        stands(posted());
    }

    function test_anExampleThatIsListedTwiceConvicts() public {
        tell(4);
        list.push(list[2]);
        list[2] = list[1];
        reckon();
        lies(posted());
    }

    function test_aScoreTotalThatIsTooGreatConvicts() public {
        tell(4);
        inflated = 1_000_000;
        reckon();
        lies(posted());
    }

    function test_aPaymentOfAnotherAmountConvicts() public {
        tell(4);
        entries_[0].value += 1;
        EntryOpening memory e = shownEntry(places[0]);
        InfluenceOpening memory i = shown(e.entry.claim);
        require(convicts(abi.encodeCall(influences.refuteInfluenceEntry, (posted(), i, shownAnswer(), e))), "a lie");
    }

    function test_anEntryOfAnotherAmountConvicts() public {
        tell(4);
        entries_[0].value += 1;
        EntryOpening memory e = shownEntry(places[0]);
        InfluenceOpening memory i = shown(e.entry.claim);
        require(convicts(abi.encodeCall(influences.refuteInfluenceInvented, (posted(), e, i, shownAnswer()))), "a lie");
    }

    function test_whereSpansCoverAllNothingIsListed() public {
        tell(31);
        cover(SIZE);
        uint256 id = posted();
        for (uint256 r = 0; r < rows.length; ++r) {
            bytes memory call = abi.encodeCall(
                influences.refuteMissing, (id, shownAnswer(), shown(9), shown(9), openedRow(r), psi)
            );
            require(!convicts(call), "nothing is left to share");
        }
    }

    function test_aListOfWhatIsCoveredConvicts() public {
        tell(4);
        cover(SIZE);
        reckon();
        lies(posted());
    }

    function test_aFullListMissesOnlyWhatRanksInIt() public {
        Parameters.Values memory p = defaults();
        p.influencesMax = 2;
        parameters.propose(p);
        vm.warp(block.timestamp + DELAY);
        tell(4);
        list.pop();
        reckon();
        stands(posted());
    }

    function test_aListThatIsTooLongConvicts() public {
        Parameters.Values memory p = defaults();
        p.influencesMax = 2;
        parameters.propose(p);
        vm.warp(block.timestamp + DELAY);
        tell(4);
        lies(posted());
    }

    // ------------------------------------------------------------ the answer's feature

    function test_withoutAFeatureTheAnswerConvicts() public {
        tell(31);
        answer.query = 0;
        lies(posted());
    }

    function test_aFeatureThatIsNoneConvicts() public {
        psi = bytes.concat(psi, hex"00");
        inForce();
        noList();
        lies(posted());
    }

    function test_aFeatureThatIsTooLoudConvicts() public {
        for (uint256 i = 0; i < 22; ++i) psi[i] = 0x7f;
        inForce();
        noList();
        lies(posted());
    }

    function noList() internal {
        Lie memory none;
        answer = answerOf(FEE, FEE, none);
        (answer.receipt.adapter, answer.receipt.outputSize) = (MODEL, SIZE);
        answer.query = keccak256(psi);
    }

    function test_aFeatureOfNothingStands() public {
        psi = new bytes(K);
        inForce();
        noList();
        stands(posted());
    }

    function test_beforeThereIsASetThereIsNoFeature() public {
        noList();
        answer.query = 0;
        uint256 id = posted();
        stands(id);
        inForce(); // too late for that batch
        require(!convicts(abi.encodeCall(influences.refuteQuery, (id, shownAnswer(), psi))), "judged by a later set");
    }

    function test_aFeatureBeforeThereIsASetConvicts() public {
        noList();
        lies(posted());
    }

    // ------------------------------------------------------------ gas

    function gasOf(bytes memory call) internal returns (uint256 spent) {
        spent = gasleft();
        require(convicts(call), "not convicted");
        spent -= gasleft();
    }

    function test_aProofFitsIntoATransaction() public {
        tell(4);
        list[1].score += 1;
        reckon();
        uint256 id = posted();
        uint256 spent = gasOf(
            abi.encodeCall(influences.refuteScore, (id, shown(1), shownAnswer(), openedRow(list[1].example), psi))
        );
        if (spent > 400_000) revert Differs("gas of a wrong score", spent, 400_000);
    }
}
