// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {InferenceEscrow} from "../src/InferenceEscrow.sol";
import {ModelRegistry} from "../src/ModelRegistry.sol";
import {NodeRegistry} from "../src/NodeRegistry.sol";
import {Receipt} from "../src/Receipts.sol";
import {Deploy, TenFinalShards} from "./Deploy.t.sol";

/// Deposits, vouchers, the split of a fee, hot keys, equivocation.
contract EscrowTest is Deploy {
    uint256 constant PAYER_KEY = 0xA11CE;
    uint256 constant HOT_KEY = 0x407;
    uint256 constant HOST_KEY = 0x4057;
    address payer;
    address hot;
    address host;

    function setUp() public {
        deploy(new TenFinalShards());
        (payer, hot, host) = (vm.addr(PAYER_KEY), vm.addr(HOT_KEY), vm.addr(HOST_KEY));
        vm.deal(payer, 1000 ether);
        vm.deal(host, 200 ether);
        registerAdapter(ADAPTER, "adapter", 7_500);
        registerAdapter(OTHER_ADAPTER, "other", 0);
        vault.stake{value: 10 ether}(address(0x57A6));
        vm.prank(payer);
        escrow.deposit{value: 100 ether}(host);
    }

    function redeem(uint128 cumulative) internal {
        escrow.redeem(one(voucher(PAYER_KEY, payer, host, ADAPTER, cumulative)));
    }

    /// The example of the paper: an answer of 1 OPEN; a quarter of the credit is exactly 0.125 OPEN.
    function test_splitOfOneOpen() public {
        redeem(1 ether);
        eq(escrow.earned(TREASURY), 0.1 ether, "platform");
        eq(vault.rewardsOf(address(0x57A6)), 0.2 ether - 1, "stakers: the last wei waits for the next fee");
        eq(pool.funded(), 0.5 ether, "contributors");
        eq(pool.funded() / 4, 0.125 ether, "a quarter");
        eq(escrow.earned(OWNER), 0.05 ether, "adapter owner");
        eq(escrow.earned(host), 0.15 ether, "host");
        eq(escrow.redeemed(payer, host, ADAPTER), 1 ether, "redeemed");
        vm.prank(host);
        escrow.claimEarned(address(0xCAFE));
        eq(address(0xCAFE).balance, 0.15 ether, "claimed");
    }

    function testFuzz_splitLosesNothing(uint96 amount, uint16 hostBps) public view {
        hostBps = uint16(bound(hostBps, 0, 10_000));
        InferenceEscrow.Shares memory s = escrow.sharesOf(amount, hostBps);
        eq(s.platform + s.stakers + s.contributors + s.owner + s.host, amount, "sum");
        eq(s.contributors, uint256(amount) * 5_000 / 10_000, "what attribution divides");
    }

    function test_voucherCannotBeReplayed() public {
        InferenceEscrow.Voucher memory v;
        redeem(2 ether);
        v = voucher(PAYER_KEY, payer, host, ADAPTER, 2 ether);
        vm.expectRevert(abi.encodeWithSelector(InferenceEscrow.NotMonotonic.selector, 2 ether, 2 ether));
        this.redeemOne(v);
        v = voucher(PAYER_KEY, payer, host, ADAPTER, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(InferenceEscrow.NotMonotonic.selector, 2 ether, 1 ether));
        this.redeemOne(v);
        redeem(5 ether);
        eq(escrow.totalEscrow(), 95 ether, "drawn");
    }

    function redeemOne(InferenceEscrow.Voucher calldata v) external {
        InferenceEscrow.Voucher[] memory vs = new InferenceEscrow.Voucher[](1);
        vs[0] = v;
        escrow.redeem(vs);
    }

    function test_everyFieldOfAVoucherIsSigned() public {
        InferenceEscrow.Voucher memory v = voucher(PAYER_KEY, payer, host, ADAPTER, 1 ether);
        InferenceEscrow.Voucher memory w = voucher(PAYER_KEY, payer, host, ADAPTER, 1 ether);
        w.cumulative = 2 ether;
        vm.expectPartialRevert(InferenceEscrow.BadSigner.selector);
        this.redeemOne(w);
        (w.cumulative, w.adapter) = (1 ether, OTHER_ADAPTER);
        vm.expectPartialRevert(InferenceEscrow.BadSigner.selector);
        this.redeemOne(w);
        (w.adapter, w.host) = (ADAPTER, address(this));
        vm.expectPartialRevert(InferenceEscrow.BadSigner.selector);
        this.redeemOne(w);
        (w.host, w.payer) = (host, address(this));
        vm.expectPartialRevert(InferenceEscrow.BadSigner.selector);
        this.redeemOne(w);
        this.redeemOne(v);
    }

    function test_voucherMustBeCoveredAndKnown() public {
        InferenceEscrow.Voucher memory v;
        v = voucher(PAYER_KEY, payer, host, ADAPTER, 101 ether);
        vm.expectRevert(abi.encodeWithSelector(InferenceEscrow.Insufficient.selector, 100 ether, 101 ether));
        this.redeemOne(v);
        v = voucher(PAYER_KEY, payer, host, "none", 1 ether);
        vm.expectRevert(abi.encodeWithSelector(InferenceEscrow.UnknownAdapter.selector, bytes32("none")));
        this.redeemOne(v);
    }

    function test_batchOfVouchersOfTwoAdapters() public {
        InferenceEscrow.Voucher[] memory vs = new InferenceEscrow.Voucher[](3);
        vs[0] = voucher(PAYER_KEY, payer, host, ADAPTER, 1 ether);
        vs[1] = voucher(PAYER_KEY, payer, host, ADAPTER, 3 ether);
        vs[2] = voucher(PAYER_KEY, payer, host, OTHER_ADAPTER, 1 ether);
        escrow.redeem(vs);
        eq(pool.funded(), 2 ether, "contributors");
        eq(escrow.earned(OWNER), 0.15 ether + 0.2 ether, "owner: a quarter of one, all of the other");
        eq(address(escrow).balance, escrow.totalEscrow() + escrow.totalEarned(), "balance");
    }

    function test_hotKeySignsUntilItIsDropped() public {
        InferenceEscrow.Voucher memory v;
        bytes memory proof = signed(HOT_KEY, signerDigest(payer));
        vm.prank(host);
        vm.expectPartialRevert(InferenceEscrow.BadSigner.selector); // the key vouched for the payer, not for him
        escrow.setSigner(hot, proof);
        vm.prank(payer);
        escrow.setSigner(hot, proof);
        escrow.redeem(one(voucher(HOT_KEY, payer, host, ADAPTER, 1 ether)));

        vm.expectPartialRevert(InferenceEscrow.NotYourSigner.selector);
        escrow.dropSigner(hot);
        vm.prank(payer);
        escrow.dropSigner(hot);
        vm.warp(block.timestamp + 1 days - 1);
        escrow.redeem(one(voucher(HOT_KEY, payer, host, ADAPTER, 2 ether)));
        vm.warp(block.timestamp + 1);
        v = voucher(HOT_KEY, payer, host, ADAPTER, 3 ether);
        vm.expectPartialRevert(InferenceEscrow.BadSigner.selector);
        this.redeemOne(v);
        vm.prank(payer);
        vm.expectPartialRevert(InferenceEscrow.SignerTaken.selector);
        escrow.setSigner(hot, proof);
    }

    function signerDigest(address who) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("OpenLedger Inference"),
                keccak256("1"),
                block.chainid,
                address(escrow)
            )
        );
        return keccak256(abi.encodePacked("\x19\x01", domain, keccak256(abi.encode(escrow.SIGNER_TYPEHASH(), who))));
    }

    function test_withdrawalGivesTheHostNotice() public {
        vm.startPrank(payer);
        vm.expectRevert(InferenceEscrow.NothingToDo.selector);
        escrow.withdraw(host);
        escrow.thaw(host, 90 ether);
        vm.warp(block.timestamp + 1 days - 1);
        vm.expectPartialRevert(InferenceEscrow.StillThawing.selector);
        escrow.withdraw(host);
        vm.stopPrank();
        redeem(30 ether);
        vm.warp(block.timestamp + 1);
        vm.startPrank(payer);
        escrow.withdraw(host);
        eq(payer.balance, 970 ether, "what the vouchers left");
        eq(escrow.totalEscrow(), 0, "nothing left");
        vm.expectRevert(InferenceEscrow.NothingToDo.selector);
        escrow.withdraw(host);
        vm.expectRevert(abi.encodeWithSelector(InferenceEscrow.Insufficient.selector, 0, 1));
        escrow.thaw(host, 1);
    }

    // ------------------------------------------------------------ equivocation

    function registerHost() internal {
        vm.prank(host);
        nodes.register{value: 100 ether}(4, "peer", "/ip4/10.0.0.1/tcp/1");
    }

    function refute(Receipt memory a, Receipt memory b) internal {
        escrow.refuteEquivocation(
            a, signed(HOST_KEY, escrow.receiptDigest(a)), b, signed(HOST_KEY, escrow.receiptDigest(b))
        );
    }

    function refuteOne(Receipt memory a, Receipt memory b) external {
        refute(a, b);
    }

    function test_equivocationCostsTheBond() public {
        registerHost();
        vm.prank(address(0xC4));
        this.refuteOne(receipt(payer, host, 3, 10, "a"), receipt(payer, host, 3, 12, "b"));
        eq(vault.credit(address(this)), 30 ether, "reward");
        eq(nodes.rolesOf(host), 0, "no host any more");
        eq(nodes.rolesEver(host), 4, "but was one");
        vm.expectPartialRevert(NodeRegistry.NotRegistered.selector);
        this.refuteOne(receipt(payer, host, 3, 10, "a"), receipt(payer, host, 3, 12, "b"));
    }

    function test_leavingHostIsStillSlashable() public {
        registerHost();
        vm.prank(host);
        nodes.leave();
        refute(receipt(payer, host, 3, 10, "a"), receipt(payer, host, 3, 10, "b"));
        eq(vault.burnPending(), 50 ether, "burned");
    }

    function test_compactSignaturesCount() public {
        registerHost();
        Receipt memory a = receipt(payer, host, 3, 10, "a");
        Receipt memory b = receipt(payer, host, 3, 10, "b");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(HOST_KEY, escrow.receiptDigest(a));
        bytes memory compact = abi.encodePacked(r, bytes32(uint256(s) | uint256(v - 27) << 255));
        escrow.refuteEquivocation(a, compact, b, signed(HOST_KEY, escrow.receiptDigest(b)));
        eq(vault.credit(address(this)), 30 ether, "reward");
    }

    /// Receipts that tile, of other payers, adapters or hosts, unpaid ones, and one receipt twice: all honest.
    function test_honestReceiptsCannotBeRefuted() public {
        registerHost();
        Receipt memory a = receipt(payer, host, 3, 10, "a");
        Receipt[6] memory honest;
        honest[0] = a;
        honest[1] = receipt(payer, host, 3, 13, "b");
        honest[2] = receipt(payer, host, 7, 7, "b");
        honest[3] = receipt(address(1), host, 3, 10, "b");
        honest[4] = receipt(payer, host, 3, 10, "b");
        honest[4].adapter = OTHER_ADAPTER;
        honest[5] = receipt(payer, host, 0, 9, "b");
        for (uint256 i = 0; i < 6; ++i) {
            vm.expectRevert(InferenceEscrow.NotEquivocation.selector);
            this.refuteOne(a, honest[i]);
            vm.expectRevert(InferenceEscrow.NotEquivocation.selector);
            this.refuteOne(honest[i], a);
        }
        Receipt memory forged = receipt(payer, host, 3, 10, "forged");
        bytes memory sigA = signed(HOST_KEY, escrow.receiptDigest(a));
        bytes memory sigForged = signed(PAYER_KEY, escrow.receiptDigest(forged));
        vm.expectPartialRevert(InferenceEscrow.BadSigner.selector);
        escrow.refuteEquivocation(a, sigA, forged, sigForged);
        vm.expectPartialRevert(InferenceEscrow.BadSigner.selector);
        escrow.refuteEquivocation(forged, sigForged, a, sigA);
    }

    function testFuzz_tilingReceiptsAreHonest(uint64 x, uint64 y, uint64 from) public {
        registerHost();
        vm.expectRevert(InferenceEscrow.NotEquivocation.selector);
        this.refuteOne(
            receipt(payer, host, x, uint128(from) + x, "a"), receipt(payer, host, y, uint128(from) + x + y, "b")
        );
    }
}
