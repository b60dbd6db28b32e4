// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AttributionOracle} from "../src/AttributionOracle.sol";
import {Answer, Header, Status} from "../src/Batches.sol";
import {Demands} from "../src/Demands.sol";
import {Merkle} from "../src/Merkle.sol";
import {Objections} from "../src/Objections.sol";
import {SumRefutations} from "../src/SumRefutations.sol";
import {Court} from "./Court.t.sol";

/// Batches that pend one on the other: order, what dies with what, whose bond comes back, who may object.
contract ChainTest is Court {
    uint128[8] nobody;
    uint128[8] totals; // after the newest batch
    uint128 spent;
    mapping(uint256 id => Answer) answers;

    function setUp() public {
        convene();
        vm.deal(CHALLENGER, 100 ether);
    }

    /// One more batch of one answer, on the newest; one that lies takes a wei too much for the treasury.
    function add(uint128 amount, bool lies) internal returns (uint256 id) {
        Lie memory lie;
        lie.remainder = lies ? 1 : 0;
        Answer memory a = answerOf(amount, spent + amount, lie);
        Header memory h = headerOf(a, totals, lie);
        id = post(h);
        answers[id] = a;
        totals = afterwards(totals, h.total, 0);
        spent += amount;
    }

    function convict(uint256 id) internal {
        Answer memory a = answers[id];
        vm.prank(CHALLENGER);
        sums.refuteRemainder(
            id, opened(a), entryOpening(share(a.receipt.amount) + 1, 0), noClaim(), noInfluence()
        );
    }

    function locked() internal view returns (uint256 amount) {
        (, amount,,) = vault.accounts(POSTER);
    }

    // ------------------------------------------------------------ order

    function test_batchesBecomeFinalInOrder() public {
        add(FEE, false);
        add(FEE, false);
        bytes32 second = newestRoot();
        eq(oracle.batchOf(2).oldTotal, share(FEE), "adds to the first");
        require(oracle.batchOf(2).oldRoot == oracle.batchOf(1).header.totalsRoot, "root of the first");
        eq(locked(), 200 ether, "two bonds");
        vm.warp(block.timestamp + 1 days);
        vm.expectRevert(abi.encodeWithSelector(AttributionOracle.ParentPending.selector, 1));
        oracle.finalize(2);
        oracle.finalize(1);
        eq(oracle.newestFinal(), 1, "first final");
        eq(pool.allocated(), share(FEE), "first allocated");
        oracle.finalize(2);
        require(pool.root() == second, "root");
        eq(pool.allocated(), 2 * share(FEE), "both allocated");
        eq(locked(), 0, "bonds are back");
        eq(oracle.pendingCount(), 0, "none pends");
    }

    function test_theNextIsPostedOnAFinalOneToo() public {
        add(FEE, false);
        vm.warp(block.timestamp + 1 days);
        oracle.finalize(1);
        add(FEE, false);
        eq(oracle.batchOf(2).parent, 1, "parent");
        require(oracle.batchOf(2).oldRoot == pool.root(), "root");
    }

    function test_theWindowOfALaterBatchIsItsOwn() public {
        add(FEE, false);
        vm.warp(block.timestamp + 1 hours);
        add(FEE, false);
        vm.warp(block.timestamp + 23 hours);
        oracle.finalize(1);
        vm.expectPartialRevert(AttributionOracle.WindowOpen.selector);
        oracle.finalize(2);
    }

    function test_pendingBatchesPromiseNoMoreThanThePoolHolds() public {
        uint128 half = uint128(pool.funded());
        add(half, false); // its contributors' share is half of it
        Lie memory none;
        Header memory h = headerOf(answerOf(half, 2 * half, none), totals, none);
        h.total += 1;
        bytes32 parent = newestRoot();
        vm.prank(POSTER);
        vm.expectPartialRevert(AttributionOracle.Overallocated.selector);
        oracle.post(2, 1, parent, h, "");
        add(half, false);
        vm.warp(block.timestamp + 1 days);
        oracle.finalize(1);
        oracle.finalize(2);
        eq(pool.allocated(), pool.funded(), "all of it");
    }

    // ------------------------------------------------------------ one dies

    function test_aSlashVoidsWhatCameAfter() public {
        add(FEE, false);
        uint128[8] memory afterFirst = totals;
        add(FEE, true);
        add(FEE, false);
        add(FEE, false);
        convict(2);
        require(statusOf(1) == Status.Pending, "the one before lives");
        require(statusOf(2) == Status.Slashed, "slashed");
        require(statusOf(3) == Status.Voided && statusOf(4) == Status.Voided, "voided");
        eq(locked(), 100 ether, "the first bond");
        (uint128 free,,,) = vault.accounts(POSTER);
        eq(free, 99_800 ether, "one bond is lost, two are back");
        eq(vault.credit(CHALLENGER), 30 ether, "the reward is of one bond");
        eq(oracle.newest(), 1, "newest");
        eq(oracle.pendingCount(), 1, "pending");

        totals = afterFirst;
        eq(add(FEE, false), 5, "numbers are never used again");
        eq(oracle.batchOf(5).parent, 1, "on the first");
        vm.expectPartialRevert(AttributionOracle.NotPending.selector);
        sums.refuteRemainder(3, opened(answers[3]), entryOpening(0, 0), noClaim(), noInfluence());
        vm.warp(block.timestamp + 1 days);
        oracle.finalize(1);
        for (uint256 id = 2; id < 5; ++id) {
            vm.expectRevert(abi.encodeWithSelector(AttributionOracle.NotPending.selector, id));
            oracle.finalize(id);
        }
        oracle.finalize(5);
        eq(pool.allocated(), 2 * share(FEE), "what is final");
    }

    function test_theFirstTakesAllAlong() public {
        add(FEE, true);
        add(FEE, false);
        convict(1);
        eq(oracle.newest(), 0, "none lives");
        totals = nobody;
        add(FEE, false);
        eq(oracle.batchOf(3).parent, 0, "first again");
        require(oracle.batchOf(3).oldRoot == bytes32(0), "on nothing");
    }

    /// A dead range between living batches is stepped over by their links.
    function test_deathAfterDeath() public {
        add(FEE, false);
        uint128[8] memory afterFirst = totals;
        for (uint256 i = 0; i < 3; ++i) {
            totals = afterFirst;
            uint256 liar = add(FEE, true);
            add(FEE, false);
            convict(liar);
            eq(oracle.newest(), 1, "back to the first");
        }
        totals = afterFirst;
        uint256 last = add(FEE, false);
        vm.warp(block.timestamp + 1 days);
        oracle.finalize(1);
        oracle.finalize(last);
        eq(oracle.newestFinal(), last, "final over the dead");
    }

    function test_demandsOfAVoidedBatchAreRefunded() public {
        add(FEE, true);
        add(FEE, false);
        vm.prank(CHALLENGER);
        oracle.demand{value: 1 ether}(2, Merkle.BODY, 0);
        convict(1);
        vm.expectRevert(Demands.NotDemanded.selector);
        oracle.answerDemand(2, Merkle.BODY, 0, bytes("body"), new bytes32[](0));
        vm.expectRevert(Demands.NotDemanded.selector);
        oracle.claimUnanswered(2, Merkle.BODY, 0);
        oracle.refundDemand(2, Merkle.BODY, 0);
        eq(oracle.credit(CHALLENGER), 1 ether, "refunded");
    }

    /// Also after the windows: what waits for its parent has not escaped what its parent did.
    function test_withheldVoidsWhatCameAfter() public {
        add(FEE, false);
        add(FEE, false);
        vm.warp(block.timestamp + 18 hours);
        vm.prank(CHALLENGER);
        oracle.demand{value: 1 ether}(1, Merkle.BODY, 0);
        vm.warp(block.timestamp + 1 days);
        vm.expectPartialRevert(AttributionOracle.DemandsOpen.selector);
        oracle.finalize(1);
        oracle.claimUnanswered(1, Merkle.BODY, 0);
        require(statusOf(1) == Status.Slashed && statusOf(2) == Status.Voided, "both are gone");
        eq(locked(), 0, "no bond is left behind");
    }

    // ------------------------------------------------------------ money spent twice

    function test_moneySpentInABatchThatStillPends() public {
        add(FEE, false);
        spent = 1 ether; // overlaps by 99
        uint256 id = add(FEE, false);
        vm.expectPartialRevert(SumRefutations.NotEarlier.selector);
        sums.refuteRepeated(1, opened(answers[1]), id, opened(answers[id]));
        vm.prank(CHALLENGER);
        sums.refuteRepeated(id, opened(answers[id]), 1, opened(answers[1]));
        require(statusOf(1) == Status.Pending && statusOf(id) == Status.Slashed, "the later one");
    }

    function test_moneyOfADeadBatchIsFree() public {
        add(FEE, true);
        convict(1);
        (totals, spent) = (nobody, 0);
        uint256 id = add(FEE, false);
        vm.expectPartialRevert(SumRefutations.NotEarlier.selector);
        sums.refuteRepeated(id, opened(answers[id]), 1, opened(answers[1]));
    }

    // ------------------------------------------------------------ a full queue

    function test_sixteenPendAndTheLastEightPayForIt() public {
        for (uint256 i = 0; i < 16; ++i) {
            uint256 id = add(FEE, false);
            eq(oracle.batchOf(id).bond, i < 8 ? 100 ether : 100 ether << (i - 7), "bond");
        }
        eq(locked(), 800 ether + 51_000 ether, "all of them");
        Lie memory none;
        Header memory h = headerOf(answerOf(FEE, spent + FEE, none), totals, none);
        bytes32 parent = newestRoot();
        vm.prank(POSTER);
        vm.expectRevert(AttributionOracle.TooManyPending.selector);
        oracle.post(17, 1, parent, h, "");
        vm.warp(block.timestamp + 1 days);
        oracle.finalize(1);
        eq(add(FEE, false), 17, "one left, one comes");
    }

    /// Where the queue is long, a batch of that total pays for its length already.
    function test_aLargeBatchPaysNothingForTheQueue() public {
        for (uint256 i = 0; i < 9; ++i) add(1 ether, false);
        uint256 id = add(2_000 ether, false);
        eq(oracle.batchOf(id).bond, 1_000 ether, "its total");
    }

    function test_theWholeQueueDiesInOneTransaction() public {
        add(FEE, true);
        for (uint256 i = 1; i < 16; ++i) add(FEE, false);
        vm.prank(address(sums));
        uint256 before = gasleft();
        oracle.convict(1, 7, CHALLENGER);
        require(before - gasleft() < 700_000, "gas");
        eq(oracle.pendingCount(), 0, "none pends");
        eq(locked(), 0, "nothing is locked");
        (uint128 free,,,) = vault.accounts(POSTER);
        eq(free, 99_900 ether, "one bond is lost");
    }

    // ------------------------------------------------------------ objections

    function validator(uint160 number, uint8 roles) internal returns (address who) {
        who = address(0xEE00 + number);
        vm.deal(who, 1_000 ether);
        vm.prank(who);
        nodes.register{value: 100 ether}(roles, abi.encode(who), "");
    }

    function objects(uint160 number, uint256 id) internal {
        vm.prank(address(0xEE00 + number));
        oracle.object(id);
    }

    /// `count` validators, and a batch posted later.
    function judged(uint160 count) internal returns (uint256 id) {
        for (uint160 i = 0; i < count; ++i) validator(i, 2);
        vm.warp(block.timestamp + 1);
        id = add(FEE, false);
        eq(oracle.batchOf(id).validatorBond, 100 ether * count, "all of them");
    }

    function test_moreThanHalfVoidsAndNobodyIsSlashed() public {
        add(FEE, false);
        uint256 id = judged(3);
        add(FEE, false);
        objects(0, id);
        require(statusOf(id) == Status.Pending, "a third");
        objects(2, id);
        require(statusOf(id) == Status.Voided && statusOf(id + 1) == Status.Voided, "two thirds");
        require(statusOf(1) == Status.Pending, "not the one before");
        eq(oracle.newest(), 1, "newest");
        (uint128 free, uint128 bonds,,) = vault.accounts(POSTER);
        require(free == 99_800 ether && bonds == 200 ether, "the last one's bond is back, its own stays");
        vm.expectPartialRevert(AttributionOracle.NotPending.selector);
        objects(1, id);
    }

    /// As long as stake that leaves: else junk could be posted for its gas alone, again and again.
    function test_theBondOfWhatDiedByObjectionWaits() public {
        uint256 id = judged(1);
        add(FEE, false);
        vm.expectRevert(abi.encodeWithSelector(Objections.NotReleasable.selector, 0));
        oracle.release(id);
        objects(0, id);
        uint64 due = oracle.batchOf(id).postedAt + 21 days;
        eq(oracle.releasableAt(id), due, "due");
        vm.warp(due - 1);
        vm.expectRevert(abi.encodeWithSelector(Objections.NotReleasable.selector, due));
        oracle.release(id);
        eq(locked(), 100 ether, "locked");
        vm.warp(due);
        oracle.release(id);
        eq(locked(), 0, "back");
        vm.expectRevert(abi.encodeWithSelector(Objections.NotReleasable.selector, 0));
        oracle.release(id);
        vm.expectRevert(abi.encodeWithSelector(Objections.NotReleasable.selector, 0));
        oracle.release(id + 1);
    }

    function test_halfIsNotMore() public {
        uint256 id = judged(2);
        objects(0, id);
        require(statusOf(id) == Status.Pending, "half");
        objects(1, id);
        require(statusOf(id) == Status.Voided, "all");
    }

    function test_oneVoiceOnce() public {
        uint256 id = judged(3);
        objects(0, id);
        vm.expectPartialRevert(Objections.AlreadyObjected.selector);
        objects(0, id);
        eq(oracle.objected(id), 100 ether, "once");
        require(oracle.hasObjected(id, address(0xEE00)), "noted");
    }

    function test_whoComesLaterHasNoVoice() public {
        validator(7, 4);
        uint256 id = judged(1);
        for (uint160 i = 10; i < 20; ++i) {
            validator(i, 2);
            vm.expectPartialRevert(Objections.NoVote.selector);
            objects(i, id);
        }
        vm.expectPartialRevert(Objections.NoVote.selector);
        objects(7, id); // a host
        vm.prank(address(0xEE07));
        nodes.update(6, abi.encode(address(0xEE07)), "");
        vm.expectPartialRevert(Objections.NoVote.selector);
        objects(7, id); // a validator since now
        vm.warp(block.timestamp + 1);
        uint256 later = add(FEE, false);
        eq(oracle.batchOf(later).validatorBond, 1_200 ether, "now they count");
        objects(7, later);
    }

    /// Registered in the very block of the posting: too late.
    function test_theSameMomentIsTooLate() public {
        validator(0, 2);
        uint256 id = add(FEE, false);
        vm.expectPartialRevert(Objections.NoVote.selector);
        objects(0, id);
    }

    function test_whoHasLeftHasNoVoiceButCounts() public {
        uint256 id = judged(3);
        vm.prank(address(0xEE00));
        nodes.leave();
        vm.expectPartialRevert(Objections.NoVote.selector);
        objects(0, id);
        objects(1, id);
        require(statusOf(id) == Status.Pending, "one of three");
        objects(2, id);
        require(statusOf(id) == Status.Voided, "two of three");
        eq(oracle.batchOf(add(FEE, false)).validatorBond, 200 ether, "two are left");
    }

    function test_noObjectionAfterTheWindow() public {
        uint256 id = judged(1);
        vm.warp(block.timestamp + 1 days);
        vm.expectPartialRevert(AttributionOracle.WindowClosed.selector);
        objects(0, id);
        oracle.finalize(id);
        vm.expectPartialRevert(AttributionOracle.NotPending.selector);
        objects(0, id);
    }

    function test_theBondsOfARoleAreThoseRegisteredNow() public {
        eq(nodes.bondOf(2), 0, "nobody");
        address who = validator(0, 2);
        validator(1, 31);
        eq(nodes.bondOf(2), 200 ether, "both");
        eq(nodes.bondOf(1), 100 ether, "curators");
        vm.startPrank(who);
        nodes.update(5, abi.encode(who), "");
        eq(nodes.bondOf(2), 100 ether, "one is no longer");
        eq(nodes.bondOf(1), 200 ether, "but this");
        nodes.update(2, abi.encode(who), "");
        nodes.leave();
        vm.stopPrank();
        eq(nodes.bondOf(2), 100 ether, "left");
        vm.prank(address(escrow));
        nodes.slash(who, CHALLENGER);
        eq(nodes.bondOf(2), 100 ether, "a leaver is not taken off twice");
        vm.prank(address(escrow));
        nodes.slash(address(0xEE01), CHALLENGER);
        for (uint8 role = 1; role < 32; role <<= 1) eq(nodes.bondOf(role), 0, "nobody");
    }

    function test_sinceIsOfTheNewestRole() public {
        vm.warp(100);
        address who = validator(0, 4);
        vm.warp(200);
        vm.startPrank(who);
        nodes.update(4, "other", "");
        eq(nodes.nodeOf(who).since, 100, "no new role");
        nodes.update(6, "other", "");
        eq(nodes.nodeOf(who).since, 200, "a new role");
        vm.warp(300);
        nodes.update(2, "other", "");
        eq(nodes.nodeOf(who).since, 200, "one less");
        (uint128 bond, uint64 since) = nodes.stakeIn(who, 2);
        require(bond == 100 ether && since == 200, "stake");
        (bond, since) = nodes.stakeIn(who, 6);
        require(bond == 0 && since == 0, "not both");
        vm.stopPrank();
    }
}
