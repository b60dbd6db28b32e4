// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {StakeVault} from "../src/StakeVault.sol";
import {Deploy, TenFinalShards} from "./Deploy.t.sol";

/// Stake, bonds, slashing, the stakers' share.
contract VaultTest is Deploy {
    address constant ALICE = address(0xA1);
    address constant BOB = address(0xB0);
    address constant CHALLENGER = address(0xC4);

    function setUp() public {
        deploy(new TenFinalShards());
        vm.deal(ALICE, 1000 ether);
        vm.deal(BOB, 1000 ether);
        vault.stake{value: 300 ether}(ALICE);
    }

    function free(address who) internal view returns (uint256 f) {
        (f,,,) = vault.accounts(who);
    }

    function test_stakeLeavesOnlyAfterUnbonding() public {
        vm.startPrank(ALICE);
        vault.startUnbond(100 ether);
        vm.warp(block.timestamp + 21 days - 1);
        vm.expectPartialRevert(StakeVault.StillUnbonding.selector);
        vault.withdraw();
        vm.warp(block.timestamp + 1);
        vault.withdraw();
        eq(ALICE.balance, 1100 ether, "paid out");
        vm.expectRevert(StakeVault.NothingToDo.selector);
        vault.withdraw();
    }

    function test_moreUnbondingRestartsTheClock() public {
        vm.startPrank(ALICE);
        vault.startUnbond(1 ether);
        vm.warp(block.timestamp + 20 days);
        vault.startUnbond(99 ether);
        vm.warp(block.timestamp + 1 days);
        vm.expectPartialRevert(StakeVault.StillUnbonding.selector);
        vault.withdraw();
        vm.warp(block.timestamp + 20 days);
        vault.withdraw();
        eq(ALICE.balance, 1100 ether, "both");
    }

    function test_lockedStakeCannotLeave() public {
        vault.lock(ALICE, 250 ether);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.InsufficientFree.selector, 50 ether, 51 ether));
        vault.startUnbond(51 ether);
        vault.unlock(ALICE, 250 ether);
        eq(free(ALICE), 300 ether, "unlocked");
    }

    function test_onlyModulesLockAndSlash() public {
        bytes memory denied = abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, BOB);
        vm.startPrank(BOB);
        vm.expectRevert(denied);
        vault.lock(ALICE, 1);
        vm.expectRevert(denied);
        vault.unlock(ALICE, 1);
        vm.expectRevert(denied);
        vault.slashLocked(ALICE, 1, BOB);
        vm.expectRevert(denied);
        pool.setRoot(0, 0);
        vm.expectRevert(denied);
        nodes.slash(ALICE, BOB);
        vm.expectRevert(denied);
        parameters.propose(defaults());
    }

    function test_modulesCannotTouchEachOthersBonds() public {
        vm.prank(ALICE);
        nodes.register(4, "peer", "");
        vault.lock(ALICE, 50 ether);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.InsufficientLock.selector, 50 ether, 51 ether));
        vault.unlock(ALICE, 51 ether);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.InsufficientLock.selector, 50 ether, 51 ether));
        vault.slashLocked(ALICE, 51 ether, BOB);
    }

    function test_slashSplits() public {
        vault.lock(ALICE, 100 ether);
        eq(vault.slashLocked(ALICE, 100 ether, CHALLENGER), 30 ether, "returned reward");
        eq(vault.credit(CHALLENGER), 30 ether, "challenger");
        eq(vault.credit(TREASURY), 20 ether, "treasury");
        eq(vault.burnPending(), 50 ether, "burn");
        eq(vault.totalStake(), 200 ether, "stake");
        eq(vault.earningStake(), 200 ether, "earning stake");
        vm.prank(CHALLENGER);
        vault.claimCredit(BOB);
        eq(BOB.balance, 1030 ether, "credit goes where its owner says");
        vault.flushBurn();
        eq(address(0xdead).balance, 50 ether, "burned");
        vm.expectRevert(StakeVault.NothingToDo.selector);
        vault.flushBurn();
    }

    function testFuzz_slashConserves(uint96 amount) public {
        amount = uint96(bound(amount, 0, 300 ether));
        vault.lock(ALICE, amount);
        uint256 reward = vault.slashLocked(ALICE, amount, CHALLENGER);
        eq(vault.credit(CHALLENGER) + vault.credit(TREASURY) + vault.burnPending(), amount, "all of it");
        require(reward * 2 <= amount, "challenger over half");
    }

    function test_stakersShareByStake() public {
        vault.stake{value: 100 ether}(BOB);
        vault.lock(ALICE, 300 ether); // locked stake earns too
        vault.distribute{value: 4 ether}();
        vm.prank(ALICE);
        vault.claimRewards();
        eq(ALICE.balance, 1003 ether - 1, "three quarters; the last wei waits");
        eq(vault.rewardsOf(BOB), 1 ether - 1, "one quarter");
        vm.prank(ALICE);
        vm.expectRevert(StakeVault.NothingToDo.selector);
        vault.claimRewards();
    }

    function test_laterStakeEarnsNothingOfEarlierShares() public {
        vault.distribute{value: 3 ether}();
        vault.stake{value: 900 ether}(BOB);
        eq(vault.rewardsOf(BOB), 0, "came later");
        vm.prank(BOB);
        vault.startUnbond(900 ether);
        vault.distribute{value: 3 ether}();
        eq(vault.rewardsOf(BOB), 0, "is leaving");
        eq(vault.rewardsOf(ALICE), 6 ether - 1, "stayed; the last wei waits");
        vault.lock(ALICE, 300 ether);
        vault.slashLocked(ALICE, 300 ether, BOB);
        eq(vault.rewardsOf(ALICE), 6 ether - 1, "earned before the slash");
    }

    function test_withoutStakeTheTreasuryGetsIt() public {
        vm.prank(ALICE);
        vault.startUnbond(300 ether);
        vault.distribute{value: 5 ether}();
        eq(vault.credit(TREASURY), 5 ether, "treasury");
    }

    /// Whatever the stakes and amounts, what is owed and carried is what came in: SCALE times, to the unit.
    function testFuzz_distributionLosesNothing(uint96[4] memory stakes, uint96[6] memory amounts) public {
        for (uint160 i = 0; i < 4; ++i) {
            uint256 x = bound(stakes[i], 1, 1e24);
            vm.deal(address(this), x);
            vault.stake{value: x}(address(i + 1));
        }
        uint256 sent;
        for (uint160 i = 0; i < 6; ++i) {
            uint256 x = bound(amounts[i], 1, 1e20);
            vm.deal(address(this), x + 1);
            vault.distribute{value: x}();
            sent += x;
            vault.stake{value: 1}(address(1 + i % 4)); // settles one of them
        }
        uint256 scaled = vault.remainder();
        for (uint160 i = 0; i < 5; ++i) {
            address who = i == 4 ? ALICE : address(i + 1);
            (uint256 f,,,) = vault.accounts(who);
            (uint256 paid, uint256 had) = vault.earnings(who);
            scaled += had + f * (vault.perStake() - paid);
        }
        eq(scaled, sent * vault.SCALE(), "scaled sum");
        eq(vault.totalRewards(), sent, "total");
    }
}
