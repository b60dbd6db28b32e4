// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AttributionOracle} from "../src/AttributionOracle.sol";
import {Answer, Batch, EntryOpening, Header, Kind, Status, TotalOpening} from "../src/Batches.sol";
import {Demands} from "../src/Demands.sol";
import {Merkle} from "../src/Merkle.sol";
import {Openings} from "../src/Openings.sol";
import {SumRefutations} from "../src/SumRefutations.sol";
import {Court} from "./Court.t.sol";

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

    function test_oneBatchPendsAtATime() public {
        (, Header memory h) = honest(FEE);
        post(h);
        vm.expectPartialRevert(AttributionOracle.PendingBatch.selector);
        oracle.post(2, 1, h);
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
        oracle.post(1, 1, h);
    }

    function test_emptyOrOversizedBatchesAreRefused() public {
        (, Header memory h) = honest(FEE);
        h.answerCount = 0;
        vm.expectRevert(AttributionOracle.OutOfBounds.selector);
        oracle.post(1, 1, h);
        h.answerCount = 10_001;
        vm.expectRevert(AttributionOracle.OutOfBounds.selector);
        oracle.post(1, 1, h);
        (h.answerCount, h.claimCount) = (1, 200_001);
        vm.expectRevert(AttributionOracle.OutOfBounds.selector);
        oracle.post(1, 1, h);
        (h.claimCount, h.dataSize) = (0, 0);
        vm.expectRevert(AttributionOracle.OutOfBounds.selector);
        oracle.post(1, 1, h);
        h.dataSize = (1 << 30) + 1;
        vm.expectRevert(AttributionOracle.OutOfBounds.selector);
        oracle.post(1, 1, h);
        (h.dataSize, h.totalsRoot) = (1 << 30, 0);
        vm.expectRevert(AttributionOracle.OutOfBounds.selector);
        oracle.post(1, 1, h);
    }

    function test_theLargestBodyIsTaken() public {
        (, Header memory h) = honest(FEE);
        h.dataSize = 1 << 30;
        eq(post(h), 1, "posted");
    }

    /// Nothing that was composed for another batch, or under other parameters, is ever posted.
    function test_aStaleBatchIsRefused() public {
        (, Header memory h) = honest(FEE);
        vm.startPrank(POSTER);
        for (uint256 expected = 0; expected < 4; ++expected) {
            if (expected == 1) continue;
            vm.expectRevert(abi.encodeWithSelector(AttributionOracle.Stale.selector, 1, 1));
            oracle.post(expected, 1, h);
        }
        vm.expectRevert(abi.encodeWithSelector(AttributionOracle.Stale.selector, 1, 1));
        oracle.post(1, 0, h);
        vm.expectRevert(abi.encodeWithSelector(AttributionOracle.Stale.selector, 1, 1));
        oracle.post(1, 2, h);
        oracle.post(1, 1, h);
        vm.stopPrank();

        parameters.propose(defaults());
        vm.warp(block.timestamp + DELAY);
        oracle.finalize(1);
        vm.startPrank(POSTER);
        vm.expectRevert(abi.encodeWithSelector(AttributionOracle.Stale.selector, 2, 2));
        oracle.post(1, 2, h);
        vm.expectRevert(abi.encodeWithSelector(AttributionOracle.Stale.selector, 2, 2));
        oracle.post(2, 1, h);
        h.total = 0;
        oracle.post(2, 2, h);
        vm.stopPrank();
        eq(oracle.batchOf(2).version, 2, "version");
    }

    function test_withoutStakeNoBatch() public {
        (, Header memory h) = honest(FEE);
        vm.prank(CHALLENGER);
        vm.expectRevert();
        oracle.post(1, 1, h);
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
        sums.refuteRemainder(id, opened(a), noClaim(), entryOpening(share(FEE) + 1, 0));
        convictedOf(id);
    }

    function test_theSameEntryIsInvented() public {
        Lie memory lie;
        lie.remainder = 1;
        (Answer memory a, Header memory h) = lying(lie);
        uint256 id = post(h);
        vm.prank(CHALLENGER);
        sums.refuteInvented(id, entryOpening(share(FEE) + 1, 0), noClaim(), opened(a));
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
        vm.expectPartialRevert(SumRefutations.NotFinal.selector);
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
        sums.refuteRemainder(id, opened(a), noClaim(), e);
        vm.warp(block.timestamp - 1);
        sums.refuteRemainder(id, opened(a), noClaim(), e);
        vm.expectPartialRevert(AttributionOracle.NotPending.selector);
        sums.refuteRemainder(id, opened(a), noClaim(), e);
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
        sums.refuteRemainder(id, opened(a), noClaim(), e);
        vm.expectRevert(SumRefutations.NotFraud.selector);
        sums.refuteInvented(id, e, noClaim(), opened(a));
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
        vm.stopPrank();
        oracle.answerDemand(id, Merkle.ANSWER, 0, abi.encode(a), new bytes32[](0));
        oracle.answerEntryDemand(id, entryOpening(share(FEE), 0));
        oracle.answerTotalDemand(id, 0, totalOf(afterwards(nobody, share(FEE), 0), 0));
        oracle.answerTextDemand(id, 9, 0, opened(a), "", new bytes32[](0));
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

    function test_demandsAreBounded() public {
        (, Header memory h) = honest(FEE);
        uint256 id = post(h);
        vm.startPrank(CHALLENGER);
        vm.expectPartialRevert(Demands.WrongDemandBond.selector);
        oracle.demand{value: 2 ether}(id, Merkle.BODY, 0);
        uint8[7] memory trees = [Merkle.ANSWER, Merkle.CLAIM, Merkle.BODY, 5, 6, 9, 0];
        uint64[7] memory beyond = [1, 0, 1, uint64(1) << 44, uint64(1) << 24, uint64(1) << 32, 0];
        for (uint256 i = 0; i < 7; ++i) {
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
        sums.refuteRemainder(id, opened(a), noClaim(), entryOpening(share(FEE) + 1, 0));
        oracle.refundDemand(id, Merkle.BODY, 0);
        eq(oracle.credit(CHALLENGER), 1 ether, "refunded");
        vm.expectRevert(Demands.NotDemanded.selector);
        oracle.refundDemand(id, Merkle.BODY, 0);
    }
}
