// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AttributionOracle} from "../src/AttributionOracle.sol";
import {Answer, Entry, EntryOpening, Header, Influence, InfluenceOpening, Kind, NONE, Status, SubtotalOpening, TotalOpening} from "../src/Batches.sol";
import {Demands} from "../src/Demands.sol";
import {Merkle} from "../src/Merkle.sol";
import {Openings} from "../src/Openings.sol";
import {SumMerkle} from "../src/SumMerkle.sol";
import {SumRefutations} from "../src/SumRefutations.sol";
import {Court} from "./Court.t.sol";
import {Packing} from "./Packing.t.sol";

contract OracleTest is Court {
    uint128[8] nobody;

    function setUp() public {
        convene();
        vm.deal(CHALLENGER, 100 ether);
    }

    function honest(uint128 amount) internal view returns (Answer memory a, Header memory h) {
        Lie memory none;
        a = answerOf(amount, amount, none);
        h = headerOf(a, nobody, none);
    }

    function lying(Lie memory lie) internal view returns (Answer memory a, Header memory h) {
        a = answerOf(FEE, FEE, lie);
        h = headerOf(a, nobody, lie);
    }

    // ------------------------------------------------------------ life of a batch

    function test_aBatchBecomesTheRoot() public {
        (, Header memory h) = honest(FEE);
        uint256 id = post(h);
        vm.expectPartialRevert(AttributionOracle.WindowOpen.selector);
        oracle.finalize(id);
        vm.warp(block.timestamp + 1 days);
        oracle.finalize(id);
        eq(uint256(pool.root()), uint256(h.totalsRoot), "root");
        eq(pool.allocated(), share(FEE), "allocated");
        (uint128 free, uint128 locked,,) = vault.accounts(POSTER);
        eq(free, 100_000 ether, "bond is back");
        eq(locked, 0, "nothing locked");
        vm.expectPartialRevert(AttributionOracle.NotPending.selector);
        oracle.finalize(id);
    }

    function test_theBondIsTheTotalButAtLeastTheMinimum() public {
        (, Header memory h) = honest(FEE);
        eq(oracle.batchOf(post(h)).bond, 100 ether, "minimum");
        vm.warp(block.timestamp + 1 days);
        oracle.finalize(1);
        Lie memory none;
        uint128[8] memory before = afterwards(nobody, share(FEE), 0);
        h = headerOf(answerOf(800 ether, 900 ether, none), before, none);
        eq(oracle.batchOf(post(h)).bond, 400 ether, "total");
    }

    function test_noMoreThanThePoolHolds() public {
        Lie memory none;
        Header memory h = headerOf(answerOf(10_000 ether, 10_000 ether, none), nobody, none);
        h.total += 1;
        vm.expectPartialRevert(AttributionOracle.Overallocated.selector);
        oracle.post(1, 1, 0, h, "");
    }

    function test_emptyOrOversizedBatchesAreRefused() public {
        (, Header memory h) = honest(FEE);
        h.answerCount = 0;
        vm.expectRevert(AttributionOracle.OutOfBounds.selector);
        oracle.post(1, 1, 0, h, "");
        h.answerCount = 10_001;
        vm.expectRevert(AttributionOracle.OutOfBounds.selector);
        oracle.post(1, 1, 0, h, "");
        (h.answerCount, h.claimCount) = (1, 200_001);
        vm.expectRevert(AttributionOracle.OutOfBounds.selector);
        oracle.post(1, 1, 0, h, "");
        (h.claimCount, h.influenceCount) = (0, 640_001);
        vm.expectRevert(AttributionOracle.OutOfBounds.selector);
        oracle.post(1, 1, 0, h, "");
        h.influenceCount = 0;
        vm.expectRevert(AttributionOracle.OutOfBounds.selector);
        oracle.post(1, 1, 0, h, new bytes(65));
        (h.claimCount, h.dataSize) = (0, 0);
        vm.expectRevert(AttributionOracle.OutOfBounds.selector);
        oracle.post(1, 1, 0, h, "");
        h.dataSize = (1 << 30) + 1;
        vm.expectRevert(AttributionOracle.OutOfBounds.selector);
        oracle.post(1, 1, 0, h, "");
        (h.dataSize, h.totalsRoot) = (1 << 30, 0);
        vm.expectRevert(AttributionOracle.OutOfBounds.selector);
        oracle.post(1, 1, 0, h, "");
    }

    function test_theLargestBatchIsTaken() public {
        (, Header memory h) = honest(FEE);
        (h.dataSize, h.answerCount, h.claimCount, h.influenceCount) = (1 << 30, 10_000, 200_000, 640_000);
        vm.prank(POSTER);
        eq(oracle.post(1, 1, 0, h, new bytes(64)), 1, "posted");
    }

    function stale(uint256 next, uint32 version, bytes32 parent) internal {
        vm.expectRevert(abi.encodeWithSelector(AttributionOracle.Stale.selector, next, version, parent));
    }

    /// Nothing that was composed for another batch, under other parameters or on other amounts is ever posted.
    function test_aStaleBatchIsRefused() public {
        (, Header memory h) = honest(FEE);
        vm.startPrank(POSTER);
        for (uint256 expected = 0; expected < 4; ++expected) {
            if (expected == 1) continue;
            stale(1, 1, 0);
            oracle.post(expected, 1, 0, h, "");
        }
        stale(1, 1, 0);
        oracle.post(1, 0, 0, h, "");
        stale(1, 1, 0);
        oracle.post(1, 2, 0, h, "");
        stale(1, 1, 0);
        oracle.post(1, 1, bytes32(uint256(1)), h, "");
        oracle.post(1, 1, 0, h, "");
        bytes32 root = h.totalsRoot;
        stale(2, 1, root);
        oracle.post(2, 1, 0, h, "");
        vm.stopPrank();

        parameters.propose(defaults());
        vm.warp(block.timestamp + DELAY);
        oracle.finalize(1);
        h.asOf = uint64(block.timestamp - 1);
        vm.startPrank(POSTER);
        stale(2, 2, root);
        oracle.post(1, 2, root, h, "");
        stale(2, 2, root);
        oracle.post(2, 1, root, h, "");
        stale(2, 2, root);
        oracle.post(2, 2, 0, h, "");
        h.total = 0;
        oracle.post(2, 2, root, h, "");
        vm.stopPrank();
        eq(oracle.batchOf(2).version, 2, "version");
    }

    /// What is judged by a time is composed at most an hour before, and for a time that is over.
    function test_theTimeOfABatchIsJustOver() public {
        (, Header memory h) = honest(FEE);
        vm.warp(10_000);
        vm.startPrank(POSTER);
        uint64[4] memory times = [uint64(10_000), 10_001, 6_399, type(uint64).max];
        for (uint256 i = 0; i < 4; ++i) {
            h.asOf = times[i];
            stale(1, 1, 0);
            oracle.post(1, 1, 0, h, "");
        }
        h.asOf = 6_400;
        oracle.post(1, 1, 0, h, "");
        h.asOf = 9_999;
        oracle.post(2, 1, h.totalsRoot, h, "");
        vm.stopPrank();
        eq(oracle.batchOf(1).header.asOf, 6_400, "an hour ago");
        eq(oracle.batchOf(1).postedAt, 10_000, "posted");
    }

    function test_withoutStakeNoBatch() public {
        (, Header memory h) = honest(FEE);
        vm.prank(CHALLENGER);
        vm.expectRevert();
        oracle.post(1, 1, 0, h, "");
    }

    function test_onlyTheRefutationsConvict() public {
        (, Header memory h) = honest(FEE);
        uint256 id = post(h);
        vm.prank(CHALLENGER);
        vm.expectRevert();
        oracle.convict(id, Kind.MISMATCH, CHALLENGER);
    }

    // ------------------------------------------------------------ lies

    function convictedOf(uint256 id) internal view {
        require(oracle.batchOf(id).status == Status.Slashed, "not slashed");
        eq(vault.credit(CHALLENGER), 30 ether, "30 % of 100");
        eq(vault.credit(TREASURY), 20 ether, "20 %");
        eq(vault.burnPending(), 50 ether, "50 %");
    }

    function test_aRemainderThatIsTooMuch() public {
        Lie memory lie;
        lie.remainder = 1;
        (Answer memory a, Header memory h) = lying(lie);
        uint256 id = post(h);
        vm.prank(CHALLENGER);
        sums.refuteRemainder(id, opened(a), entryOpening(share(FEE) + 1, 0), noClaim(), noInfluence());
        convictedOf(id);
    }

    function test_theSameEntryIsInvented() public {
        Lie memory lie;
        lie.remainder = 1;
        (Answer memory a, Header memory h) = lying(lie);
        uint256 id = post(h);
        vm.prank(CHALLENGER);
        sums.refuteInvented(id, entryOpening(share(FEE) + 1, 0), noClaim(), noInfluence(), opened(a));
        convictedOf(id);
    }

    function test_aStolenTotal() public {
        Lie memory lie;
        lie.stolen = 7;
        (, Header memory h) = lying(lie);
        uint256 id = post(h);
        uint128[8] memory next = afterwards(nobody, share(FEE), 7);
        TotalOpening memory none;
        vm.prank(CHALLENGER);
        sums.refuteTransition(id, 0, none, subtotalOf(share(FEE)), totalOf(next, 0));
        convictedOf(id);
    }

    /// Else it became final, and nobody could ever claim under its root.
    function test_totalsThatDoNotAddUp() public {
        (, Header memory h) = honest(FEE);
        uint128[8] memory next = afterwards(nobody, share(FEE), 0);
        next[3] += 1;
        (h.totalsRoot,) = rootOf(next);
        uint256 id = post(h);
        TotalOpening memory none;
        SubtotalOpening memory subtotal = subtotalOf(share(FEE));
        vm.prank(CHALLENGER);
        sums.refuteTransition(id, 0, none, subtotal, totalOf(next, 0));
        convictedOf(id);
    }

    function test_entriesThatDoNotAddUp() public {
        (, Header memory h) = honest(FEE);
        (h.entriesRoot,) = entries(share(FEE) + 1);
        uint256 id = post(h);
        TotalOpening memory none;
        SubtotalOpening memory subtotal = subtotalOf(share(FEE) + 1);
        uint128[8] memory next = afterwards(nobody, share(FEE), 0);
        vm.prank(CHALLENGER);
        sums.refuteTransition(id, 0, none, subtotal, totalOf(next, 0));
        convictedOf(id);
    }

    function test_aBrokenChain() public {
        Lie memory lie;
        lie.claimCount = 3;
        (Answer memory a, Header memory h) = lying(lie);
        h.claimCount = 2;
        uint256 id = post(h);
        vm.prank(CHALLENGER);
        sums.refuteChain(id, opened(a), noAnswer());
        convictedOf(id);
    }

    function test_aBrokenChainOfInfluences() public {
        (Answer memory a, Header memory h) = honest(FEE);
        h.influenceCount = 1;
        uint256 id = post(h);
        vm.prank(CHALLENGER);
        sums.refuteChain(id, opened(a), noAnswer());
        convictedOf(id);
    }

    function test_aChainOfInfluencesThatDoesNotBeginAtTheFirst() public {
        Lie memory none;
        Answer memory a = answerOf(FEE, FEE, none);
        a.firstInfluence = 1;
        Header memory h = headerOf(a, nobody, none);
        h.influenceCount = 1;
        uint256 id = post(h);
        vm.prank(CHALLENGER);
        sums.refuteChain(id, opened(a), noAnswer());
        convictedOf(id);
    }

    /// One influence that took `paid` of an answer's share; the rest is the remainder's.
    function influenced(uint128 paid, uint128 rest)
        internal
        returns (uint256 id, Answer memory a, InfluenceOpening memory o)
    {
        Lie memory none;
        a = answerOf(FEE, FEE, none);
        a.influenceCount = 1;
        Header memory h = headerOf(a, nobody, none);
        (h.entriesRoot, h.total) = entries(rest);
        Influence memory i = Influence(0, 7, 1, 0, 5, 5, paid);
        o.influence = Packing.packed(i);
        o.proof = new bytes32[](0);
        h.influenceCount = 1;
        h.influencesRoot = keccak256(abi.encodePacked(uint8(0), Merkle.INFLUENCE, abi.encode(i)));
        id = post(h);
    }

    function test_theRemainderIsWhatInfluencesLeave() public {
        (uint256 id, Answer memory a, InfluenceOpening memory o) = influenced(20 ether, 30 ether);
        EntryOpening memory e = entryOpening(30 ether, 0);
        vm.expectRevert(SumRefutations.NotFraud.selector);
        sums.refuteRemainder(id, opened(a), e, noClaim(), noInfluence());
        vm.expectRevert(SumRefutations.NotFraud.selector);
        sums.refuteRemainder(id, opened(a), e, noClaim(), o);
        vm.expectRevert(SumRefutations.NotFraud.selector);
        sums.refuteInvented(id, e, noClaim(), o, opened(a));
    }

    function test_theRemainderForgetsTheInfluences() public {
        (uint256 id, Answer memory a, InfluenceOpening memory o) = influenced(20 ether, 50 ether);
        vm.prank(CHALLENGER);
        sums.refuteRemainder(id, opened(a), entryOpening(50 ether, 0), noClaim(), o);
        convictedOf(id);
    }

    function test_influencesTakeMoreThanThereIs() public {
        (uint256 id, Answer memory a, InfluenceOpening memory o) = influenced(50 ether + 1, 1 ether);
        vm.prank(CHALLENGER);
        sums.refuteRemainder(id, opened(a), entryOpening(1 ether, 0), noClaim(), o);
        convictedOf(id);
    }

    function entryAt0(Entry memory e, uint32 influences) internal returns (uint256 id, EntryOpening memory o) {
        (, Header memory h) = honest(FEE);
        (h.entriesRoot, h.total) = entriesOf(e);
        h.influenceCount = influences;
        id = post(h);
        o = entryOpening(e.value, 0);
        o.entry = e;
    }

    function test_anEntryOfAnInfluenceThatIsNotThere() public {
        (uint256 id, EntryOpening memory o) = entryAt0(Entry(0, 2, 4, 1 ether), 2);
        vm.prank(CHALLENGER);
        sums.refuteInvented(id, o, noClaim(), noInfluence(), noAnswer());
        convictedOf(id);
    }

    function test_anEntryOfNoSlot() public {
        (uint256 id, EntryOpening memory o) = entryAt0(Entry(0, 0, 5, 1 ether), 2);
        vm.prank(CHALLENGER);
        sums.refuteInvented(id, o, noClaim(), noInfluence(), noAnswer());
        convictedOf(id);
    }

    function test_anEntryOfAnInfluenceThatIsThereIsForTheOtherCourt() public {
        (uint256 id, EntryOpening memory o) = entryAt0(Entry(0, 1, 4, 1 ether), 2);
        vm.expectRevert(SumRefutations.NotFraud.selector);
        sums.refuteInvented(id, o, noClaim(), noInfluence(), noAnswer());
    }

    /// Of one answer the spans come first, then the remainder, then the influences.
    function test_theOrderOfEntries() public {
        require(orderLies(Entry(0, 0, 4, 1), Entry(0, NONE, 0, 1)), "influence before remainder");
        require(orderLies(Entry(0, 0, 4, 1), Entry(0, 7, 3, 1)), "influence before claim");
        require(orderLies(Entry(0, 3, 4, 1), Entry(0, 3, 4, 1)), "twice");
        require(!orderLies(Entry(0, 9, 0, 1), Entry(0, 0, 4, 1)), "claim before influence");
        require(!orderLies(Entry(0, NONE, 0, 1), Entry(0, 0, 4, 1)), "remainder before influence");
        require(!orderLies(Entry(0, 9, 4, 1), Entry(1, 0, 0, 1)), "by answer first");
    }

    /// Whether two neighbouring entries convict their batch.
    function orderLies(Entry memory a, Entry memory b) internal returns (bool lies) {
        (, Header memory h) = honest(FEE);
        (bytes32 hashA, bytes32 hashB) = (leafOf(a), leafOf(b));
        bytes32 hash = SumMerkle.node(hashA, hashB, a.value, b.value);
        for (uint256 i = 1; i < 44; ++i) hash = SumMerkle.node(hash, emptyAt(i), a.value + b.value, 0);
        (h.entriesRoot, h.total) = (hash, a.value + b.value);
        uint256 id = post(h);
        EntryOpening memory first = entryOpening(a.value, 0);
        EntryOpening memory second = entryOpening(b.value, 0);
        (first.entry, second.entry, second.index) = (a, b, 1);
        first.proof[0] = SumMerkle.Sibling(hashB, b.value);
        second.proof[0] = SumMerkle.Sibling(hashA, a.value);
        try sums.refuteNumbering(id, first, second) {
            lies = true;
        } catch (bytes memory reason) {
            require(bytes4(reason) == SumRefutations.NotFraud.selector, "another reason");
        }
    }

    function test_aForgedReceipt() public {
        Lie memory lie;
        lie.key = PAYER_KEY;
        (Answer memory a, Header memory h) = lying(lie);
        uint256 id = post(h);
        vm.prank(CHALLENGER);
        sums.refuteForged(id, opened(a));
        convictedOf(id);
    }

    function test_anUnpaidReceipt() public {
        Lie memory none;
        Answer memory a = answerOf(FEE, 10_001 ether, none);
        uint256 id = post(headerOf(a, nobody, none));
        vm.prank(CHALLENGER);
        sums.refuteUnfunded(id, opened(a));
        convictedOf(id);
    }

    function sized(uint32 output, uint32 prompt) internal returns (Answer memory a, uint256 id) {
        Lie memory none;
        a = answerOf(FEE, FEE, none);
        (a.receipt.outputSize, a.receipt.promptSize) = (output, prompt);
        id = post(headerOf(a, nobody, none));
    }

    function test_theLargestTextsAreNoFraud() public {
        (Answer memory a, uint256 id) = sized(24 * 1024, 24 * 1024);
        vm.expectRevert(SumRefutations.NotFraud.selector);
        sums.refuteUnfunded(id, opened(a));
    }

    function test_anOutputOfAnImpossibleSize() public {
        (Answer memory a, uint256 id) = sized(24 * 1024 + 1, 1);
        vm.prank(CHALLENGER);
        sums.refuteUnfunded(id, opened(a));
        convictedOf(id);
    }

    function test_aPromptOfAnImpossibleSize() public {
        (Answer memory a, uint256 id) = sized(1, 24 * 1024 + 1);
        vm.prank(CHALLENGER);
        sums.refuteUnfunded(id, opened(a));
        convictedOf(id);
    }

    function test_moneySpentTwice() public {
        (Answer memory a, Header memory h) = honest(FEE);
        post(h);
        vm.warp(block.timestamp + 1 days);
        oracle.finalize(1);
        Lie memory none;
        Answer memory b = answerOf(FEE, FEE + 1 ether, none); // overlaps by 99 OPEN
        uint256 id = post(headerOf(b, afterwards(nobody, share(FEE), 0), none));
        vm.expectPartialRevert(SumRefutations.NotEarlier.selector);
        sums.refuteRepeated(id, opened(b), 3, opened(a));
        vm.prank(CHALLENGER);
        sums.refuteRepeated(id, opened(b), 1, opened(a));
        convictedOf(id);
    }

    function test_noConvictionAfterTheWindowNorTwice() public {
        Lie memory lie;
        lie.remainder = 1;
        (Answer memory a, Header memory h) = lying(lie);
        uint256 id = post(h);
        EntryOpening memory e = entryOpening(share(FEE) + 1, 0);
        vm.warp(block.timestamp + 1 days);
        vm.expectPartialRevert(AttributionOracle.WindowClosed.selector);
        sums.refuteRemainder(id, opened(a), e, noClaim(), noInfluence());
        vm.warp(block.timestamp - 1);
        sums.refuteRemainder(id, opened(a), e, noClaim(), noInfluence());
        vm.expectPartialRevert(AttributionOracle.NotPending.selector);
        sums.refuteRemainder(id, opened(a), e, noClaim(), noInfluence());
        vm.warp(block.timestamp + 2 days);
        vm.expectPartialRevert(AttributionOracle.NotPending.selector);
        oracle.finalize(id);
    }

    function testFuzz_honestNumbersConvictNobody(uint128 amount) public {
        amount = uint128(bound(amount, 1, 10_000 ether));
        (Answer memory a, Header memory h) = honest(amount);
        uint256 id = post(h);
        EntryOpening memory e = entryOpening(share(amount), 0);
        EntryOpening memory after1 = entryOpening(share(amount), 1);
        TotalOpening memory none;
        uint128[8] memory next = afterwards(nobody, share(amount), 0);

        vm.expectRevert(SumRefutations.NotFraud.selector);
        sums.refuteRemainder(id, opened(a), e, noClaim(), noInfluence());
        vm.expectRevert(SumRefutations.NotFraud.selector);
        sums.refuteInvented(id, e, noClaim(), noInfluence(), opened(a));
        vm.expectRevert(SumRefutations.NotFraud.selector);
        sums.refuteNumbering(id, e, after1);
        vm.expectRevert(SumRefutations.NotFraud.selector);
        sums.refuteTransition(id, 0, none, subtotalOf(share(amount)), totalOf(next, 0));
        vm.expectRevert(SumRefutations.NotFraud.selector);
        sums.refuteChain(id, opened(a), noAnswer());
        vm.expectRevert(SumRefutations.NotFraud.selector);
        sums.refuteForged(id, opened(a));
        vm.expectRevert(SumRefutations.NotFraud.selector);
        sums.refuteUnfunded(id, opened(a));
        vm.expectRevert(SumRefutations.NotFraud.selector);
        sums.refuteRepeated(id, opened(a), id, opened(a));
    }

    function testFuzz_anotherAnswerIsNotOpened(uint128 amount, uint32 entry) public {
        (Answer memory a, Header memory h) = honest(FEE);
        uint256 id = post(h);
        a.receipt.amount = amount;
        a.remainderEntry = entry;
        vm.assume(amount != FEE || entry != 0);
        vm.expectPartialRevert(Openings.BadAnswerOpening.selector);
        sums.refuteUnfunded(id, opened(a));
    }

    // ------------------------------------------------------------ demands

    function demanded(uint8 tree, uint64 index) internal returns (uint256 id) {
        (, Header memory h) = honest(FEE);
        id = post(h);
        vm.prank(CHALLENGER);
        oracle.demand{value: 1 ether}(id, tree, index);
    }

    function test_withheldIsSlashed() public {
        uint256 id = demanded(Merkle.BODY, 0);
        vm.warp(block.timestamp + 6 hours);
        oracle.claimUnanswered(id, Merkle.BODY, 0); // anyone may
        convictedOf(id);
        eq(oracle.credit(CHALLENGER), 1 ether, "bond is back");
        vm.prank(CHALLENGER);
        oracle.claimCredit(address(0x9999));
        eq(address(0x9999).balance, 1 ether, "paid where the owner says");
        eq(address(oracle).balance, 0, "nothing left");
    }

    function test_answeredIsSafe() public {
        uint256 id = demanded(Merkle.BODY, 0);
        vm.expectRevert(Demands.BadDisclosure.selector);
        oracle.answerDemand(id, Merkle.BODY, 0, bytes("bodi"), new bytes32[](0));
        vm.prank(POSTER);
        oracle.answerDemand(id, Merkle.BODY, 0, bytes("body"), new bytes32[](0));
        eq(oracle.credit(POSTER), 1 ether, "the answer's gas is paid");
        vm.expectRevert(Demands.NotDemanded.selector);
        oracle.claimUnanswered(id, Merkle.BODY, 0);
        vm.prank(CHALLENGER);
        vm.expectRevert(Demands.AlreadyDemanded.selector);
        oracle.demand{value: 1 ether}(id, Merkle.BODY, 0);
        vm.warp(block.timestamp + 1 days);
        oracle.finalize(id);
    }

    function test_everyTreeCanBeDemandedAndOpened() public {
        (Answer memory a, Header memory h) = honest(FEE);
        uint256 id = post(h);
        vm.startPrank(CHALLENGER);
        oracle.demand{value: 1 ether}(id, Merkle.ANSWER, 0);
        oracle.demand{value: 1 ether}(id, 5, 0);
        oracle.demand{value: 1 ether}(id, 6, 0);
        oracle.demand{value: 1 ether}(id, 9, 0); // the empty output: the answer alone settles it
        oracle.demand{value: 1 ether}(id, 13, 0); // no feature: likewise
        vm.stopPrank();
        oracle.answerDemand(id, Merkle.ANSWER, 0, abi.encode(a), new bytes32[](0));
        oracle.answerEntryDemand(id, entryOpening(share(FEE), 0));
        oracle.answerTotalDemand(id, 0, totalOf(afterwards(nobody, share(FEE), 0), 0));
        oracle.answerTextDemand(id, 9, 0, opened(a), "", new bytes32[](0));
        vm.expectRevert(Demands.BadDisclosure.selector);
        oracle.answerQueryDemand(id, opened(a), "x");
        oracle.answerQueryDemand(id, opened(a), "");
        eq(oracle.openDemands(id), 0, "all settled");
    }

    function test_aLeafThatIsNoStructIsNoAnswer() public {
        (Answer memory a, Header memory h) = honest(FEE);
        bytes memory dirty = abi.encode(a);
        dirty[32 * 5] = 0x01; // above the 32 bits of promptSize
        h.answersRoot = keccak256(abi.encodePacked(uint8(0), Merkle.ANSWER, dirty));
        uint256 id = post(h);
        vm.prank(CHALLENGER);
        oracle.demand{value: 1 ether}(id, Merkle.ANSWER, 0);
        vm.expectRevert();
        oracle.answerDemand(id, Merkle.ANSWER, 0, dirty, new bytes32[](0));
    }

    /// One of the wrong size counts as opened: `refuteQuery` convicts it.
    function test_aFeatureIsOpenedByItsHash() public {
        Lie memory none;
        Answer memory a = answerOf(FEE, FEE, none);
        a.query = keccak256("a feature");
        uint256 id = post(headerOf(a, nobody, none));
        vm.prank(CHALLENGER);
        oracle.demand{value: 1 ether}(id, 13, 0);
        vm.expectRevert(Demands.BadDisclosure.selector);
        oracle.answerQueryDemand(id, opened(a), "");
        vm.expectRevert(Demands.BadDisclosure.selector);
        oracle.answerQueryDemand(id, opened(a), "another feature");
        vm.expectRevert(Demands.BadDisclosure.selector);
        oracle.answerTextDemand(id, 13, 0, opened(a), "", new bytes32[](0));
        vm.prank(POSTER);
        oracle.answerQueryDemand(id, opened(a), "a feature");
        eq(oracle.credit(POSTER), 1 ether, "settled");
        vm.expectRevert(Demands.NotDemanded.selector);
        oracle.answerQueryDemand(id, opened(a), "a feature");
    }

    function test_anInfluenceIsOpenedByItsLeaf() public {
        (, Header memory h) = honest(FEE);
        bytes memory leaf = abi.encode(Influence(0, 1, 2, 3, 4, 5, 6));
        h.influenceCount = 1;
        h.influencesRoot = keccak256(abi.encodePacked(uint8(0), Merkle.INFLUENCE, leaf));
        uint256 id = post(h);
        vm.startPrank(CHALLENGER);
        vm.expectPartialRevert(Demands.BadIndex.selector);
        oracle.demand{value: 1 ether}(id, Merkle.INFLUENCE, 1);
        oracle.demand{value: 1 ether}(id, Merkle.INFLUENCE, 0);
        vm.stopPrank();
        vm.expectRevert(Demands.BadDisclosure.selector);
        oracle.answerDemand(id, Merkle.INFLUENCE, 0, abi.encode(Influence(0, 1, 2, 3, 4, 5, 7)), new bytes32[](0));
        vm.expectRevert(Demands.BadDisclosure.selector);
        oracle.answerDemand(id, Merkle.INFLUENCE, 0, bytes.concat(leaf, bytes32(0)), new bytes32[](0));
        oracle.answerDemand(id, Merkle.INFLUENCE, 0, leaf, new bytes32[](0));
        eq(oracle.openDemands(id), 0, "settled");
    }

    function test_anInfluenceThatIsNoStructIsNoAnswer() public {
        (, Header memory h) = honest(FEE);
        bytes memory leaf = abi.encode(Influence(0, 1, 2, 3, 4, 5, 6));
        leaf[0] = 0x01; // above the 32 bits of the answer
        h.influenceCount = 1;
        h.influencesRoot = keccak256(abi.encodePacked(uint8(0), Merkle.INFLUENCE, leaf));
        uint256 id = post(h);
        vm.prank(CHALLENGER);
        oracle.demand{value: 1 ether}(id, Merkle.INFLUENCE, 0);
        vm.expectRevert();
        oracle.answerDemand(id, Merkle.INFLUENCE, 0, leaf, new bytes32[](0));
    }

    function test_demandsAreBounded() public {
        (, Header memory h) = honest(FEE);
        uint256 id = post(h);
        vm.startPrank(CHALLENGER);
        vm.expectPartialRevert(Demands.WrongDemandBond.selector);
        oracle.demand{value: 2 ether}(id, Merkle.BODY, 0);
        uint8[9] memory trees = [Merkle.ANSWER, Merkle.CLAIM, Merkle.BODY, 5, 6, 9, 0, 13, 13];
        uint64[9] memory beyond = [1, 0, 1, uint64(1) << 44, uint64(1) << 24, uint64(1) << 32, 0, uint64(1) << 32, 1];
        for (uint256 i = 0; i < 9; ++i) {
            vm.expectPartialRevert(Demands.BadIndex.selector);
            oracle.demand{value: 1 ether}(id, trees[i], beyond[i]);
        }
        vm.warp(block.timestamp + 18 hours + 1);
        vm.expectPartialRevert(Demands.TooLate.selector);
        oracle.demand{value: 1 ether}(id, Merkle.BODY, 0);
        vm.stopPrank();
    }

    function test_anOpenDemandHoldsTheBatchAndIsRefundedWhenItDies() public {
        Lie memory lie;
        lie.remainder = 1;
        (Answer memory a, Header memory h) = lying(lie);
        uint256 id = post(h);
        vm.warp(block.timestamp + 18 hours);
        vm.prank(CHALLENGER);
        oracle.demand{value: 1 ether}(id, Merkle.BODY, 0);
        vm.expectRevert(Demands.StillPending.selector);
        oracle.refundDemand(id, Merkle.BODY, 0);
        vm.warp(block.timestamp + 6 hours);
        vm.expectPartialRevert(AttributionOracle.DemandsOpen.selector);
        oracle.finalize(id);
        vm.warp(block.timestamp - 1);
        sums.refuteRemainder(id, opened(a), entryOpening(share(FEE) + 1, 0), noClaim(), noInfluence());
        oracle.refundDemand(id, Merkle.BODY, 0);
        eq(oracle.credit(CHALLENGER), 1 ether, "refunded");
        vm.expectRevert(Demands.NotDemanded.selector);
        oracle.refundDemand(id, Merkle.BODY, 0);
    }
}
