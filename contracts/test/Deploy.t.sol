// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {InferenceEscrow} from "../src/InferenceEscrow.sol";
import {IDatanets, ModelRegistry} from "../src/ModelRegistry.sol";
import {NodeRegistry} from "../src/NodeRegistry.sol";
import {Parameters} from "../src/Parameters.sol";
import {Receipt} from "../src/Receipts.sol";
import {RewardPool} from "../src/RewardPool.sol";
import {StakeVault} from "../src/StakeVault.sol";
import {SumMerkle} from "../src/SumMerkle.sol";
import {T} from "./Vm.t.sol";

contract TenFinalShards is IDatanets {
    function finalShards(uint32 datanet) external pure returns (uint32) {
        return datanet == 1 ? 10 : 0;
    }
}

/// The money contracts, with this test as the administrator and as the one module that may lock, slash and set roots.
abstract contract Deploy is T {
    uint64 constant MODULE = 1;
    uint64 constant DELAY = 2 days;
    address constant TREASURY = address(0x7EA5);
    address constant OWNER = address(0x0123);
    bytes32 constant BASE = keccak256("base");
    bytes32 constant ADAPTER = keccak256("adapter");
    bytes32 constant OTHER_ADAPTER = keccak256("other adapter");
    AccessManager authority;
    Parameters parameters;
    StakeVault vault;
    RewardPool pool;
    NodeRegistry nodes;
    ModelRegistry models;
    InferenceEscrow escrow;

    function deploy(IDatanets datanets) internal {
        authority = new AccessManager(address(this));
        (Parameters.Values memory lowest, Parameters.Values memory highest) = limits();
        parameters = new Parameters(address(authority), DELAY, defaults(), lowest, highest);
        vault = new StakeVault(address(authority), parameters, TREASURY);
        pool = new RewardPool(address(authority), TREASURY);
        nodes = new NodeRegistry(address(authority), parameters, vault);
        models = new ModelRegistry(parameters, datanets, TREASURY);
        escrow = new InferenceEscrow(parameters, pool, vault, models, nodes, TREASURY);
        bytes4[] memory bonds = new bytes4[](3);
        (bonds[0], bonds[1], bonds[2]) = (StakeVault.lock.selector, StakeVault.unlock.selector, StakeVault.slashLocked.selector);
        authority.setTargetFunctionRole(address(vault), bonds, MODULE);
        authority.grantRole(MODULE, address(nodes), 0);
        authority.grantRole(MODULE, address(this), 0);
        bytes4[] memory slash = new bytes4[](1);
        slash[0] = NodeRegistry.slash.selector;
        authority.setTargetFunctionRole(address(nodes), slash, 2);
        authority.grantRole(2, address(escrow), 0);
        bytes4[] memory roots = new bytes4[](1);
        roots[0] = RewardPool.setRoot.selector;
        authority.setTargetFunctionRole(address(pool), roots, 3);
        authority.grantRole(3, address(this), 0);
    }

    /// The default values of `protocol/parameters.py`.
    function defaults() internal pure returns (Parameters.Values memory v) {
        (v.spanMin, v.spanMax, v.holdersMax) = (32, 256, 4);
        v.spanWeights = [6_000, 8_000, 10_000, 10_000];
        (v.commonBps, v.platformBps, v.modelBps, v.stakersBps) = (2_500, 1_000, 2_000, 2_000);
        (v.window, v.response, v.unbonding, v.datanetWindow) = (1 days, 6 hours, 21 days, 1 days);
        (v.bondMin, v.bondBps, v.demandBond, v.datanetBond) = (100 ether, 10_000, 1 ether, 100 ether);
        (v.challengerBps, v.treasuryBps) = (3_000, 2_000);
        (v.modelFee, v.datanetFee) = (1 ether, 1 ether);
        (v.influencesMax, v.influenceSigma, v.influenceBps, v.duplicateBps) = (16, 300, 10_000, 9_000);
    }

    function limits() internal pure returns (Parameters.Values memory low, Parameters.Values memory high) {
        (low.spanMin, low.spanMax, low.holdersMax) = (16, 64, 1);
        (low.window, low.response, low.unbonding, low.datanetWindow) = (1, 1, 2, 1);
        (low.bondMin, low.bondBps, low.datanetBond, low.demandBond) = (1, 1_000, 1, 1);
        (low.influencesMax, low.influenceSigma, low.influenceBps, low.duplicateBps) = (1, 100, 0, 5_000);
        low.stakersBps = 100;
        (high.spanMin, high.spanMax, high.holdersMax) = (256, 256, 4);
        high.spanWeights = [10_000, 10_000, 10_000, 10_000];
        (high.commonBps, high.platformBps, high.modelBps, high.stakersBps) = (10_000, 3_000, 5_000, 5_000);
        (high.window, high.response, high.unbonding, high.datanetWindow) = (30 days, 7 days, 90 days, 30 days);
        (high.bondMin, high.bondBps, high.demandBond, high.datanetBond) = (1e6 ether, 50_000, 100 ether, 1e6 ether);
        (high.challengerBps, high.treasuryBps) = (5_000, 10_000);
        (high.modelFee, high.datanetFee) = (1e4 ether, 1e4 ether);
        (high.influencesMax, high.influenceSigma, high.influenceBps, high.duplicateBps) = (64, 1_000, 10_000, 9_999);
    }

    function registerAdapter(bytes32 adapter, string memory name, uint16 hostBps) internal {
        if (models.baseOwner(BASE) == address(0)) models.registerBase{value: 1 ether}(BASE, "base");
        vm.deal(OWNER, OWNER.balance + 1 ether);
        vm.prank(OWNER);
        models.registerAdapter{value: 1 ether}(info(adapter, name, hostBps));
    }

    function info(bytes32 adapter, string memory name, uint16 hostBps)
        internal
        pure
        returns (ModelRegistry.AdapterInfo memory)
    {
        return ModelRegistry.AdapterInfo(adapter, BASE, 1, 10, bytes32("w"), 7, bytes32("c"), bytes32("m"), hostBps, name);
    }

    function voucher(uint256 key, address payer, address host, bytes32 adapter, uint128 cumulative)
        internal
        view
        returns (InferenceEscrow.Voucher memory v)
    {
        v = InferenceEscrow.Voucher(payer, host, adapter, cumulative, "");
        v.signature = signed(key, escrow.voucherDigest(v));
    }

    function one(InferenceEscrow.Voucher memory v) internal pure returns (InferenceEscrow.Voucher[] memory vs) {
        vs = new InferenceEscrow.Voucher[](1);
        vs[0] = v;
    }

    function receipt(address payer, address host, uint128 amount, uint128 cumulative, bytes32 request)
        internal
        pure
        returns (Receipt memory r)
    {
        (r.request, r.base, r.adapter) = (request, BASE, ADAPTER);
        (r.amount, r.cumulative, r.host, r.payer) = (amount, cumulative, host, payer);
    }

    // ------------------------------------------------------------ a TOTAL tree over the ids 0..7

    uint256 constant DEPTH = 24;

    function rootOf(uint128[8] memory v) internal pure returns (bytes32 root, uint128 total) {
        (root, total,) = walk(v, 0);
    }

    function claimOf(uint128[8] memory v, uint32 id) internal pure returns (RewardPool.Claim memory) {
        (,, SumMerkle.Sibling[] memory proof) = walk(v, id);
        return RewardPool.Claim(id, v[id], proof);
    }

    function walk(uint128[8] memory v, uint256 k)
        internal
        pure
        returns (bytes32, uint128, SumMerkle.Sibling[] memory proof)
    {
        proof = new SumMerkle.Sibling[](DEPTH);
        bytes32[8] memory h;
        uint128[8] memory s;
        for (uint256 i = 0; i < 8; ++i) {
            (h[i], s[i]) = (SumMerkle.totalLeaf(v[i]), v[i]);
        }
        bytes32 zero = SumMerkle.totalLeaf(0);
        uint256 n = 8;
        for (uint256 d = 0; d < DEPTH; ++d) {
            proof[d] = d < 3 ? SumMerkle.Sibling(h[k ^ 1], s[k ^ 1]) : SumMerkle.Sibling(zero, 0);
            if (n == 1) h[0] = SumMerkle.node(h[0], zero, s[0], 0);
            for (uint256 i = 0; i < n / 2; ++i) {
                h[i] = SumMerkle.node(h[2 * i], h[2 * i + 1], s[2 * i], s[2 * i + 1]);
                s[i] = s[2 * i] + s[2 * i + 1];
            }
            zero = SumMerkle.node(zero, zero, 0, 0);
            n = n > 1 ? n / 2 : 1;
            k /= 2;
        }
        return (h[0], s[0], proof);
    }
}
