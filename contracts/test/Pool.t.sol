// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {RewardPool} from "../src/RewardPool.sol";
import {Deploy, TenFinalShards} from "./Deploy.t.sol";

contract Rejects {
    bool public accepts;

    function accept() external {
        accepts = true;
    }

    function collect(RewardPool pool, address to) external {
        pool.claimCredit(to);
    }

    receive() external payable {
        require(accepts);
    }
}

contract BurnsGas {
    receive() external payable {
        while (true) {}
    }
}

contract Reenters {
    RewardPool pool;
    RewardPool.Claim claim;

    constructor(RewardPool pool_) {
        pool = pool_;
    }

    function arm(RewardPool.Claim calldata c) external {
        claim = c;
    }

    receive() external payable {
        RewardPool.Claim[] memory cs = new RewardPool.Claim[](1);
        cs[0] = claim;
        pool.claim(cs);
    }
}

contract Counts {
    uint256 public payments;

    receive() external payable {
        payments += 1; // needs 22k gas
    }
}

/// Contributors, roots, claims.
contract PoolTest is Deploy {
    address constant PAYEE = address(0x1001);

    function setUp() public {
        deploy(new TenFinalShards());
        for (uint160 i = 1; i < 8; ++i) {
            pool.register(address(0x1000 + i));
        }
        pool.fund{value: 100 ether}();
    }

    function amounts() internal pure returns (uint128[8] memory v) {
        (v[0], v[1], v[2], v[5]) = (1 ether, 5 ether, 7 ether, 3 ether);
    }

    function setAmounts(uint128[8] memory v) internal {
        (bytes32 root, uint128 total) = rootOf(v);
        pool.setRoot(root, total);
    }

    function claim(RewardPool.Claim memory c) public {
        RewardPool.Claim[] memory cs = new RewardPool.Claim[](1);
        cs[0] = c;
        pool.claim(cs);
    }

    function test_claimsAreCumulative() public {
        uint128[8] memory v = amounts();
        setAmounts(v);
        claim(claimOf(v, 1));
        eq(PAYEE.balance, 5 ether, "first");
        vm.expectRevert(RewardPool.NothingToClaim.selector);
        this.claim(claimOf(v, 1));
        v[1] = 9 ether;
        setAmounts(v);
        claim(claimOf(v, 1));
        eq(PAYEE.balance, 9 ether, "only the difference");
        claim(claimOf(v, 0));
        eq(TREASURY.balance, 1 ether, "id 0 is the treasury");
    }

    function test_badPayeesStopNobody() public {
        Rejects rejects = new Rejects();
        BurnsGas burns = new BurnsGas();
        vm.prank(address(0x1001));
        pool.movePayout(1, address(rejects));
        vm.prank(address(0x1002));
        pool.movePayout(2, address(burns));
        uint128[8] memory v = amounts();
        setAmounts(v);
        RewardPool.Claim[] memory cs = new RewardPool.Claim[](3);
        (cs[0], cs[1], cs[2]) = (claimOf(v, 1), claimOf(v, 2), claimOf(v, 5));
        pool.claim{gas: 2_000_000}(cs);
        eq(address(0x1005).balance, 3 ether, "the honest one");
        eq(pool.credit(address(rejects)), 5 ether, "credited");
        eq(pool.credit(address(burns)), 7 ether, "credited");
        eq(pool.totalCredit(), 12 ether, "total credit");
        eq(address(pool).balance, pool.funded() - pool.claimedTotal() + pool.totalCredit(), "balance");
        rejects.collect(pool, address(0xBEEF));
        eq(address(0xBEEF).balance, 5 ether, "elsewhere");
        vm.expectRevert(RewardPool.NothingToClaim.selector);
        rejects.collect(pool, address(0xBEEF));
    }

    /// Who triggers the claim cannot starve the payee so that its payment becomes a credit.
    function test_tooLittleGasPaysNobodyRatherThanCredit() public {
        Counts counts = new Counts();
        vm.prank(PAYEE);
        pool.movePayout(1, address(counts));
        uint128[8] memory v = amounts();
        setAmounts(v);
        RewardPool.Claim memory c = claimOf(v, 1);
        for (uint256 left = 60_000; counts.payments() == 0; left += 1_000) {
            try this.claim{gas: left}(c) {} catch {}
            eq(pool.credit(address(counts)), 0, "never credited");
        }
        eq(address(counts).balance, 5 ether, "paid when there was gas");
    }

    function test_reentryPaysOnce() public {
        Reenters thief = new Reenters(pool);
        vm.prank(PAYEE);
        pool.movePayout(1, address(thief));
        uint128[8] memory v = amounts();
        setAmounts(v);
        thief.arm(claimOf(v, 1));
        claim(claimOf(v, 1));
        eq(address(thief).balance + pool.credit(address(thief)), 5 ether, "once");
    }

    function test_wrongProofsAreRefused() public {
        uint128[8] memory v = amounts();
        setAmounts(v);
        RewardPool.Claim memory c = claimOf(v, 1);
        c.cumulative += 1;
        vm.expectRevert(abi.encodeWithSelector(RewardPool.BadProof.selector, 1));
        this.claim(c);
        c = claimOf(v, 1);
        c.id = 3;
        vm.expectRevert(abi.encodeWithSelector(RewardPool.BadProof.selector, 3));
        this.claim(c);
        c = claimOf(v, 1);
        c.id = 1 << 24 | 1;
        vm.expectPartialRevert(RewardPool.BadProof.selector);
        this.claim(c);
        c = claimOf(v, 1);
        c.proof[23].sum = 1;
        vm.expectRevert(abi.encodeWithSelector(RewardPool.BadProof.selector, 1));
        this.claim(c);
    }

    /// A root whose leaves add up to more than was announced cannot be claimed from at all.
    function test_lyingTotalOpensNothing() public {
        uint128[8] memory v = amounts();
        (bytes32 root, uint128 total) = rootOf(v);
        pool.setRoot(root, total - 1);
        vm.expectPartialRevert(RewardPool.BadProof.selector);
        this.claim(claimOf(v, 1));
    }

    function test_rootsNeverShrinkOrOverallocate() public {
        pool.setRoot("a", 60 ether);
        vm.expectRevert(abi.encodeWithSelector(RewardPool.AllocationShrinks.selector, 60 ether, 59 ether));
        pool.setRoot("b", 59 ether);
        vm.expectRevert(abi.encodeWithSelector(RewardPool.Overallocated.selector, 100 ether + 1, 100 ether));
        pool.setRoot("b", 100 ether + 1);
        pool.setRoot("b", 100 ether);
    }

    function test_signerStaysWhenThePayoutMoves() public {
        vm.expectPartialRevert(RewardPool.NotPayout.selector);
        pool.movePayout(1, address(9));
        vm.prank(PAYEE);
        pool.movePayout(1, address(9));
        require(pool.payoutOf(1) == address(9) && pool.signerOf(1) == PAYEE);
        vm.prank(PAYEE);
        vm.expectPartialRevert(RewardPool.NotPayout.selector);
        pool.movePayout(1, PAYEE);
    }

    function test_nobodyRegistersNobody() public {
        vm.expectRevert(RewardPool.NoPayout.selector);
        pool.register(address(0));
        vm.prank(PAYEE);
        vm.expectRevert(RewardPool.NoPayout.selector);
        pool.movePayout(1, address(0));
        require(pool.nextId() == 8 && pool.payoutOf(0) == TREASURY);
    }

    function test_amountsOfUnknownContributorsStay() public {
        RewardPool fresh = new RewardPool(address(authority), TREASURY);
        bytes4[] memory f = new bytes4[](1);
        f[0] = RewardPool.setRoot.selector;
        authority.setTargetFunctionRole(address(fresh), f, 3);
        fresh.fund{value: 20 ether}();
        uint128[8] memory v = amounts();
        (bytes32 root, uint128 total) = rootOf(v);
        fresh.setRoot(root, total);
        RewardPool.Claim[] memory cs = new RewardPool.Claim[](1);
        cs[0] = claimOf(v, 1);
        vm.expectRevert(RewardPool.NoPayout.selector);
        fresh.claim(cs);
    }
}
