// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {DocumentOpening, FeatureOpening, Kind, NONE, Status} from "../src/Batches.sol";
import {Demands} from "../src/Demands.sol";
import {FeatureRegistry} from "../src/FeatureRegistry.sol";
import {FeatureRows} from "../src/FeatureRows.sol";
import {Merkle} from "../src/Merkle.sol";
import {Objections} from "../src/Objections.sol";
import {Corpus, Roll} from "./Corpus.t.sol";

/// Sets over three documents in two shards, honest and with one thing wrong.
contract FeatureRegistryTest is Corpus {
    function setUp() public {
        gather();
        vm.deal(CHALLENGER, 1_000 ether);
    }

    function published() internal returns (uint256 id) {
        seed();
        id = publishSet();
        vm.warp(block.timestamp + 1 hours);
    }

    function statusOfSet(uint256 id) internal view returns (Status) {
        return features.setOf(id).status;
    }

    function slashed(uint256 id) internal view {
        require(statusOfSet(id) == Status.Slashed, "not slashed");
        eq(vault.credit(address(this)), 30 ether, "reward");
        (, uint128 locked,,) = vault.accounts(PUBLISHER);
        eq(locked, 0, "no bond left");
    }

    // ------------------------------------------------------------ the seed

    function test_theSeedIsTheHashOfABlockToCome() public {
        vm.expectPartialRevert(FeatureRegistry.UnknownAdapter.selector);
        features.draw("nobody's");
        features.draw(MODEL);
        eq(features.targetOf(MODEL), block.number + 1, "target");
        eq(uint256(features.seedOf(MODEL)), 0, "not yet");
        vm.expectPartialRevert(FeatureRegistry.TooEarly.selector);
        features.draw(MODEL);
        uint256 target = block.number + 1;
        Roll(address(vm)).roll(target);
        vm.expectPartialRevert(FeatureRegistry.TooEarly.selector); // its own hash is not known yet
        features.draw(MODEL);
        Roll(address(vm)).roll(target + 256);
        features.draw(MODEL);
        bytes32 want = keccak256(abi.encode(blockhash(target), MODEL));
        require(blockhash(target) != 0 && features.seedOf(MODEL) == want, "seed");
        vm.expectPartialRevert(FeatureRegistry.SeedKnown.selector);
        features.draw(MODEL);
    }

    function test_aForgottenBlockIsNoSeed() public {
        features.draw(MODEL);
        uint256 late = block.number + 1 + 257;
        Roll(address(vm)).roll(late);
        features.draw(MODEL);
        eq(uint256(features.seedOf(MODEL)), 0, "no seed");
        eq(features.targetOf(MODEL), late + 1, "another block");
        Roll(address(vm)).roll(late + 2);
        features.draw(MODEL);
        require(features.seedOf(MODEL) != 0, "seed");
    }

    // ------------------------------------------------------------ life of a set

    function test_withoutASeedNoSet() public {
        vm.expectRevert(FeatureRegistry.NoSeed.selector);
        features.publish(MODEL, "rows", 3, "basis", 1);
    }

    function test_setsAreBounded() public {
        seed();
        vm.startPrank(PUBLISHER);
        vm.expectRevert(FeatureRegistry.OutOfBounds.selector);
        features.publish(MODEL, "rows", 0, "basis", 1);
        vm.expectRevert(FeatureRegistry.OutOfBounds.selector);
        features.publish(MODEL, "rows", (1 << 24) + 1, "basis", 1);
        vm.expectRevert(FeatureRegistry.OutOfBounds.selector);
        features.publish(MODEL, "rows", 1, "basis", 0);
        vm.expectRevert(FeatureRegistry.OutOfBounds.selector);
        features.publish(MODEL, "rows", 1, "basis", (1 << 30) + 1);
        eq(features.publish(MODEL, "rows", 1 << 24, "basis", 1 << 30), 1, "the largest");
        vm.stopPrank();
    }

    function test_withoutStakeNoSet() public {
        seed();
        vm.prank(CHALLENGER);
        vm.expectRevert();
        features.publish(MODEL, "rows", 1, "basis", 1);
    }

    function test_aSetComesIntoForceAfterItsWindow() public {
        uint256 id = published();
        (, uint128 locked,,) = vault.accounts(PUBLISHER);
        eq(locked, 100 ether, "bond");
        vm.expectPartialRevert(FeatureRegistry.WindowOpen.selector);
        features.finalize(id);
        uint64 deadline = features.setOf(id).deadline;
        vm.warp(deadline + 5);
        (, uint32 count) = features.inForce(MODEL, type(uint64).max);
        eq(count, 0, "not before it is final");
        features.finalize(id);
        bytes32 root;
        (root, count) = features.inForce(MODEL, deadline + 5);
        require(root == shaRoot(Merkle.FEATURE, rows) && count == 3, "in force");
        (root, count) = features.inForce(MODEL, deadline + 4);
        require(root == 0 && count == 0, "not of before");
        (, locked,,) = vault.accounts(PUBLISHER);
        eq(locked, 0, "bond is back");
        vm.expectPartialRevert(FeatureRegistry.NotPending.selector);
        features.finalize(id);
        vm.expectPartialRevert(FeatureRegistry.InForce.selector);
        features.publish(MODEL, "rows", 1, "basis", 1);
        eq(features.idOf(MODEL), id, "its number");
    }

    /// Junk keeps nobody out: it costs twice as much each time, and the first to survive is in force.
    function test_theFirstSetThatSurvivesIsInForce() public {
        uint256 id = published();
        for (uint256 i = 2; i < 5; ++i) eq(publishSet(), i, "another");
        (, uint128 locked,,) = vault.accounts(PUBLISHER);
        eq(locked, 1_500 ether, "1 + 2 + 4 + 8");
        vm.expectRevert(FeatureRegistry.TooManyPending.selector);
        features.publish(MODEL, "rows", 1, "basis", 1);
        vm.prank(CHALLENGER);
        features.demand{value: 1 ether}(4, Merkle.BODY, 0);
        vm.warp(block.timestamp + 23 hours); // the end of the first window
        vm.expectPartialRevert(FeatureRegistry.WindowOpen.selector);
        features.finalize(2);
        features.finalize(id);
        for (uint256 i = 2; i < 5; ++i) {
            require(statusOfSet(i) == Status.Voided, "voided");
            features.release(i);
            vm.expectPartialRevert(Objections.NotReleasable.selector);
            features.release(i);
        }
        features.refundDemand(4, Merkle.BODY, 0);
        vm.warp(block.timestamp + 1 days);
        vm.expectPartialRevert(FeatureRegistry.NotPending.selector);
        features.finalize(2);
        vm.expectPartialRevert(Objections.NotReleasable.selector);
        features.release(id);
        (, locked,,) = vault.accounts(PUBLISHER);
        eq(locked, 0, "all bonds are back");
        eq(features.idOf(MODEL), id, "in force");
        eq(features.pendingOf(MODEL).length, 0, "none pends");
    }

    function test_whatDiesMakesRoom() public {
        rows[0] = row(0, 0, 2, NONE, phi(0));
        published();
        rows[0] = row(0, 0, 1, NONE, phi(0));
        uint256 good = publishSet();
        FeatureOpening memory o;
        rows[0] = row(0, 0, 2, NONE, phi(0));
        o = openedRow(0);
        features.refuteRow(1, o, openedDocument(0, 0));
        uint256[] memory pending = features.pendingOf(MODEL);
        require(pending.length == 1 && pending[0] == good, "the good one pends");
        eq(features.setOf(good).bond, 200 ether, "second");
        publishSet();
        eq(features.setOf(3).bond, 200 ether, "second again");
    }

    function test_aSlashedSetIsReplaced() public {
        rows[0] = row(0, 0, 2, NONE, phi(0));
        features.refuteRow(published(), openedRow(0), openedDocument(0, 0));
        slashed(1);
        rows[0] = row(0, 0, 1, NONE, phi(0));
        uint256 id = publishSet();
        eq(id, 2, "another");
        eq(features.idOf(MODEL), 0, "none is in force");
        require(features.setOf(1).seed == features.setOf(2).seed, "of one seed");
        vm.warp(block.timestamp + 2 days);
        features.finalize(id);
    }

    function test_nothingIsRefutedAfterTheWindow() public {
        rows[0] = row(0, 0, 2, NONE, phi(0));
        uint256 id = published();
        (FeatureOpening memory o, DocumentOpening memory d) = (openedRow(0), openedDocument(0, 0));
        vm.warp(block.timestamp + 1 days);
        vm.expectPartialRevert(FeatureRegistry.WindowClosed.selector);
        features.refuteRow(id, o, d);
        vm.expectPartialRevert(FeatureRegistry.NotPending.selector);
        features.refuteRow(id + 1, o, d);
    }

    // ------------------------------------------------------------ refutations

    /// Whatever is shown, an honest set stands.
    function test_noChallengeConvictsAnHonestSet() public {
        uint256 id = published();
        for (uint256 i = 0; i < 4; ++i) {
            FeatureOpening memory first = openedRow(i < 3 ? i : NONE);
            for (uint256 j = 0; j < 4; ++j) {
                FeatureOpening memory second = openedRow(j < 3 ? j : NONE);
                refused(abi.encodeCall(features.refuteOrder, (id, first, second)));
                refused(abi.encodeCall(features.refuteDuplicate, (id, first, second)));
            }
            refused(abi.encodeCall(features.refuteRow, (id, first, openedDocument(0, 0))));
            refused(abi.encodeCall(features.refuteRow, (id, first, openedDocument(0, 1))));
            refused(abi.encodeCall(features.refuteRow, (id, first, openedDocument(1, 0))));
        }
        vm.warp(block.timestamp + 1 days);
        features.finalize(id);
    }

    function refused(bytes memory call) internal {
        (bool ok,) = address(features).call(call);
        require(!ok, "an honest set was convicted");
    }

    /// One field of one row is wrong: the row, or its order, convicts.
    function testFuzz_aWrongRowConvicts(uint256 at, uint256 field, uint32 value) public {
        at = bound(at, 0, 2);
        bytes32 right = keccak256(rows[at]);
        rows[at] = broken(at, bound(field, 0, 4), value);
        vm.assume(keccak256(rows[at]) != right);
        uint256 id = published();

        bool convicted = tryRow(id, at, at == 2 ? 1 : 0, at == 1 ? 1 : 0);
        if (!convicted) convicted = at == 0 ? tryOrder(id, NONE, 0) : tryOrder(id, at - 1, at);
        if (!convicted && at == 2) convicted = tryOrder(id, 2, NONE);
        for (uint256 i = 0; i < at && !convicted; ++i) convicted = tryDuplicate(id, i, at);
        require(convicted, "an impossible row stands");
        slashed(id);
    }

    function broken(uint256 at, uint256 field, uint32 value) internal view returns (bytes memory) {
        uint32[4] memory numbers = [uint32(at == 2 ? 1 : 0), at == 1 ? 1 : 0, uint32(at) + 1, at == 2 ? 1 : NONE];
        if (field < 4) numbers[field] = value;
        bytes memory feature = at == 0 ? phi(0) : at == 1 ? phi(1) : flipped(phi(1), edge());
        bytes32 root = content(uint32(at) + 1);
        if (field == 4) root ^= bytes32(uint256(value));
        return abi.encodePacked(numbers[0], numbers[1], numbers[2], numbers[3], root, feature);
    }

    function tryRow(uint256 id, uint256 at, uint256 shard, uint256 number) internal returns (bool ok) {
        (ok,) = address(features).call(
            abi.encodeCall(features.refuteRow, (id, openedRow(at), openedDocument(shard, number)))
        );
    }

    function tryOrder(uint256 id, uint256 i, uint256 j) internal returns (bool ok) {
        (ok,) = address(features).call(abi.encodeCall(features.refuteOrder, (id, openedRow(i), openedRow(j))));
    }

    function tryDuplicate(uint256 id, uint256 i, uint256 j) internal returns (bool ok) {
        (ok,) = address(features).call(abi.encodeCall(features.refuteDuplicate, (id, openedRow(i), openedRow(j))));
    }

    function test_aFeatureOfAnotherLengthConvicts() public {
        bytes memory loud = phi(0);
        for (uint256 i = 0; i < 22; ++i) loud[i] = 0x7f;
        rows[0] = row(0, 0, 1, NONE, loud);
        uint256 id = published();
        DocumentOpening memory ignored;
        features.refuteRow(id, openedRow(0), ignored);
        slashed(id);
    }

    /// An example without gradient has the feature zero, and is near nothing, not even another such.
    function test_theFeatureOfNothingIsHonest() public {
        rows[0] = row(0, 0, 1, NONE, new bytes(K));
        rows[1] = row(0, 1, 2, NONE, new bytes(K));
        rows[2] = row(1, 0, 3, NONE, phi(1));
        uint256 id = published();
        require(!tryRow(id, 0, 0, 0) && !tryDuplicate(id, 0, 1) && !tryDuplicate(id, 1, 2), "convicted");
    }

    function test_aRowIsNoDuplicateOfItself() public {
        rows[1] = row(0, 1, 2, 1, phi(1));
        uint256 id = published();
        require(tryRow(id, 1, 0, 1), "it is none of its own");
        slashed(id);
    }

    function test_anUnnamedDuplicateConvicts() public {
        rows[2] = row(1, 0, 3, NONE, flipped(phi(1), edge()));
        uint256 id = published();
        require(!tryDuplicate(id, 0, 2), "that is none");
        require(tryDuplicate(id, 1, 2), "that is one");
        slashed(id);
    }

    function test_aLaterDuplicateConvicts() public {
        rows[1] = row(0, 1, 2, 0, phi(0));
        rows[2] = row(1, 0, 3, 1, phi(0));
        uint256 id = published();
        require(!tryDuplicate(id, 1, 2), "it names that");
        require(tryDuplicate(id, 0, 2), "the first counts");
        slashed(id);
    }

    function test_aFarOneNamedDuplicateConvicts() public {
        rows[2] = row(1, 0, 3, 1, flipped(phi(1), edge() + 1));
        uint256 id = published();
        require(tryDuplicate(id, 1, 2), "it is not near");
        slashed(id);
    }

    function test_rowsLeftOutAtTheEndConvict() public {
        rows.pop();
        uint256 id = published();
        require(!tryOrder(id, 0, NONE), "row 0 is not the last");
        require(tryOrder(id, 1, NONE), "document (1, 0) has no row");
        slashed(id);
    }

    function test_aRowTooManyConvicts() public {
        rows.push(row(1, 1, 3, NONE, phi(7)));
        uint256 id = published();
        require(tryOrder(id, 2, 3), "there is no document after the last");
        slashed(id);
    }

    function test_anotherRowIsNotOpened() public {
        uint256 id = published();
        (FeatureOpening memory o, DocumentOpening memory d) = (openedRow(0), openedDocument(0, 0));
        o.row[0] ^= 0x01;
        vm.expectPartialRevert(FeatureRows.BadFeatureOpening.selector);
        features.refuteRow(id, o, d);
        o = openedRow(0);
        o.index = 4; // beyond the set, the same way up
        vm.expectPartialRevert(FeatureRows.BadFeatureOpening.selector);
        features.refuteRow(id, o, d);
    }

    // ------------------------------------------------------------ demands, objections

    function test_rowsAndBasisAreDemanded() public {
        uint256 id = published();
        vm.startPrank(CHALLENGER);
        vm.expectPartialRevert(Demands.BadIndex.selector);
        features.demand{value: 1 ether}(id, Merkle.FEATURE, 3);
        vm.expectPartialRevert(Demands.BadIndex.selector);
        features.demand{value: 1 ether}(id, Merkle.BODY, 1);
        vm.expectPartialRevert(Demands.BadIndex.selector);
        features.demand{value: 1 ether}(id, Merkle.DOCUMENT, 0);
        features.demand{value: 1 ether}(id, Merkle.FEATURE, 2);
        features.demand{value: 1 ether}(id, Merkle.BODY, 0);
        vm.stopPrank();
        FeatureOpening memory o = openedRow(1);
        vm.expectRevert(Demands.BadDisclosure.selector);
        features.answerDemand(id, Merkle.FEATURE, 2, o.row, o.proof);
        o = openedRow(2);
        features.answerDemand(id, Merkle.FEATURE, 2, o.row, o.proof);
        vm.expectRevert(Demands.BadDisclosure.selector);
        features.answerDemand(id, Merkle.BODY, 0, hex"ab", new bytes32[](0));
        vm.warp(features.setOf(id).deadline);
        vm.expectPartialRevert(FeatureRegistry.DemandsOpen.selector);
        features.finalize(id);
        features.answerDemand(id, Merkle.BODY, 0, hex"aa", new bytes32[](0));
        features.finalize(id);
        eq(features.credit(address(this)), 2 ether, "for the answers");
    }

    function test_whatIsWithheldIsSlashed() public {
        uint256 id = published();
        vm.prank(CHALLENGER);
        features.demand{value: 1 ether}(id, Merkle.BODY, 0);
        vm.warp(block.timestamp + 6 hours);
        features.claimUnanswered(id, Merkle.BODY, 0);
        require(statusOfSet(id) == Status.Slashed, "slashed");
        eq(vault.credit(CHALLENGER), 30 ether, "the demander's");
    }

    function test_validatorsVoidASet() public {
        address[3] memory validators = [address(0xE1), address(0xE2), address(0xE3)];
        for (uint256 i = 0; i < 3; ++i) {
            vm.deal(validators[i], 100 ether);
            vm.prank(validators[i]);
            nodes.register{value: 100 ether}(2, abi.encode(i), "");
        }
        vm.warp(block.timestamp + 1);
        uint256 id = published();
        vm.expectPartialRevert(Objections.NoVote.selector);
        features.object(id);
        vm.prank(validators[0]);
        features.object(id);
        require(statusOfSet(id) == Status.Pending, "one of three");
        vm.prank(validators[0]);
        vm.expectPartialRevert(Objections.AlreadyObjected.selector);
        features.object(id);
        vm.prank(validators[1]);
        features.object(id);
        require(statusOfSet(id) == Status.Voided, "two of three");
        (uint128 free, uint128 locked,,) = vault.accounts(PUBLISHER);
        require(free == 4_900 ether && locked == 100 ether, "nobody is slashed");
        vm.expectPartialRevert(Objections.NotReleasable.selector);
        features.release(id);
        eq(publishSet(), 2, "replaced");
        vm.warp(features.setOf(id).publishedAt + 21 days);
        features.release(id);
        (free, locked,,) = vault.accounts(PUBLISHER);
        require(free == 4_900 ether && locked == 100 ether, "the first bond is back");
    }
}
