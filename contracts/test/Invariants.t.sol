// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {InferenceEscrow} from "../src/InferenceEscrow.sol";
import {RewardPool} from "../src/RewardPool.sol";
import {StakeVault} from "../src/StakeVault.sol";
import {Handler} from "./Handler.t.sol";
import {T} from "./Vm.t.sol";

/// What came in is what is owed, whatever anybody does in whatever order; and what is owed can be taken.
contract InvariantsTest is T {
    Handler h;
    StakeVault vault;
    RewardPool pool;
    InferenceEscrow escrow;
    address models;
    address nodes;

    function setUp() public {
        h = new Handler();
        Handler.Parts memory p = h.parts();
        (vault, pool, escrow) = (StakeVault(p.vault), RewardPool(p.pool), InferenceEscrow(p.escrow));
        (models, nodes) = (p.models, p.nodes);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(h);
    }

    function invariant_vaultOwesWhatItHolds() public view {
        (uint256 all, uint256 earning, uint256 scaled, uint256 credit) = h.vaultSums();
        eq(all, vault.totalStake(), "stake");
        eq(earning, vault.earningStake(), "earning stake");
        eq(credit, vault.totalCredit(), "credit");
        eq(scaled + vault.remainder(), vault.totalRewards() * vault.SCALE(), "rewards, scaled");
        uint256 owed = vault.totalStake() + vault.totalCredit() + vault.totalRewards() + vault.burnPending();
        eq(address(vault).balance, owed, "balance");
    }

    function invariant_locksAreSomeModules() public view {
        require(h.locksAgree());
    }

    function invariant_escrowOwesWhatItHolds() public view {
        (uint256 deposits, uint256 earned) = h.escrowSums();
        eq(deposits, escrow.totalEscrow(), "deposits");
        eq(earned, escrow.totalEarned(), "earned");
        eq(address(escrow).balance, deposits + earned, "balance");
    }

    function invariant_poolNeverOverpays() public view {
        require(pool.claimedTotal() <= pool.allocated() && pool.allocated() <= pool.funded());
        eq(h.claimedSum(), pool.claimedTotal(), "claimed");
        eq(pool.funded(), h.promised(), "contributors' shares");
        eq(address(pool).balance, pool.funded() - pool.claimedTotal() + pool.totalCredit(), "balance");
    }

    function invariant_moneyIsConserved() public view {
        uint256 held = address(vault).balance + address(pool).balance + address(escrow).balance + models.balance;
        eq(held, h.moneyIn(), "conserved");
        eq(nodes.balance, 0, "nodes hold nothing");
    }

    function invariant_whatIsDueCanBeTaken() public view {
        eq(h.stuck(), 0, "stuck");
    }

    function invariant_nothingWorksTwiceOrForThieves() public view {
        eq(h.replayed(), 0, "replayed");
        eq(h.robbed(), 0, "robbed");
    }
}
