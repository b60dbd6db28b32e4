// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ModelRegistry} from "../src/ModelRegistry.sol";
import {NodeRegistry} from "../src/NodeRegistry.sol";
import {Parameters} from "../src/Parameters.sol";
import {StakeVault} from "../src/StakeVault.sol";
import {Deploy, TenFinalShards} from "./Deploy.t.sol";

/// Nodes, models, parameters.
contract RegistriesTest is Deploy {
    address constant OPERATOR = address(0x0907);

    function setUp() public {
        deploy(new TenFinalShards());
        vm.deal(OPERATOR, 1000 ether);
    }

    // ------------------------------------------------------------ nodes

    function test_nodeLifeCycle() public {
        vm.startPrank(OPERATOR);
        vm.expectPartialRevert(StakeVault.InsufficientFree.selector);
        nodes.register(5, "peer", "/ip4/10.0.0.1/tcp/4001");
        nodes.register{value: 100 ether}(5, "peer", "/ip4/10.0.0.1/tcp/4001");
        eq(nodes.rolesOf(OPERATOR), 5, "roles");
        require(nodes.operatorOf("peer") == OPERATOR);
        vm.expectPartialRevert(NodeRegistry.AlreadyRegistered.selector);
        nodes.register{value: 100 ether}(5, "peer2", "");
        nodes.update(2, "peer2", "");
        eq(nodes.rolesOf(OPERATOR), 2, "roles");
        eq(nodes.rolesEver(OPERATOR), 7, "ever");
        require(nodes.operatorOf("peer") == address(0) && nodes.operatorOf("peer2") == OPERATOR);
        nodes.leave();
        eq(nodes.rolesOf(OPERATOR), 0, "left");
        vm.expectPartialRevert(NodeRegistry.NotRegistered.selector);
        nodes.leave();
        vm.expectPartialRevert(NodeRegistry.NotRegistered.selector);
        nodes.update(1, "peer2", "");
        vm.expectPartialRevert(NodeRegistry.AlreadyRegistered.selector);
        nodes.register(1, "peer3", "");
        vm.warp(block.timestamp + 21 days - 1);
        vm.expectPartialRevert(NodeRegistry.StillLeaving.selector);
        nodes.release(OPERATOR);
        vm.warp(block.timestamp + 1);
        nodes.release(OPERATOR);
        (uint256 free, uint256 locked,,) = vault.accounts(OPERATOR);
        require(free == 100 ether && locked == 0 && nodes.operatorOf("peer2") == address(0));
        nodes.register(1, "peer2", "");
        vm.stopPrank();
        vm.expectPartialRevert(NodeRegistry.NotRegistered.selector);
        nodes.release(OPERATOR);
    }

    function test_nodeIdentityIsBounded() public {
        vm.startPrank(OPERATOR);
        vm.expectPartialRevert(NodeRegistry.BadRoles.selector);
        nodes.register{value: 100 ether}(0, "peer", "");
        vm.expectPartialRevert(NodeRegistry.BadRoles.selector);
        nodes.register{value: 100 ether}(32, "peer", "");
        vm.expectPartialRevert(NodeRegistry.BadPeerId.selector);
        nodes.register{value: 100 ether}(1, "", "");
        vm.expectPartialRevert(NodeRegistry.BadPeerId.selector);
        nodes.register{value: 100 ether}(1, new bytes(65), "");
        vm.expectPartialRevert(NodeRegistry.BadEndpoint.selector);
        nodes.register{value: 100 ether}(1, new bytes(64), string(new bytes(257)));
        nodes.register{value: 100 ether}(31, new bytes(64), string(new bytes(256)));
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(NodeRegistry.PeerIdTaken.selector, OPERATOR));
        nodes.register{value: 100 ether}(1, new bytes(64), "");
    }

    // ------------------------------------------------------------ models

    function test_adapterNeedsBaseFinalShardsFeeAndName() public {
        vm.expectPartialRevert(ModelRegistry.UnknownBase.selector);
        models.registerAdapter{value: 1 ether}(info(ADAPTER, "a", 0));
        vm.expectRevert(abi.encodeWithSelector(ModelRegistry.WrongFee.selector, 1, 1 ether));
        models.registerBase{value: 1}(BASE, "base");
        models.registerBase{value: 1 ether}(BASE, "base");
        vm.expectPartialRevert(ModelRegistry.AlreadyRegistered.selector);
        models.registerBase{value: 1 ether}(BASE, "base2");
        vm.expectRevert(ModelRegistry.NoHash.selector);
        models.registerBase{value: 1 ether}(0, "base3");

        ModelRegistry.AdapterInfo memory a = info(ADAPTER, "a", 10_001);
        vm.expectPartialRevert(ModelRegistry.BadSplit.selector);
        models.registerAdapter{value: 1 ether}(a);
        (a.hostBps, a.weightsSize) = (10_000, 0);
        vm.expectRevert(abi.encodeWithSelector(ModelRegistry.BadSize.selector, 0));
        models.registerAdapter{value: 1 ether}(a);
        a.weightsSize = (1 << 30) + 1;
        vm.expectRevert(abi.encodeWithSelector(ModelRegistry.BadSize.selector, (1 << 30) + 1));
        models.registerAdapter{value: 1 ether}(a);
        (a.weightsSize, a.shardCount) = (1 << 30, 11);
        vm.expectRevert(abi.encodeWithSelector(ModelRegistry.ShardsNotFinal.selector, 10, 11));
        models.registerAdapter{value: 1 ether}(a);
        a.shardCount = 0;
        vm.expectPartialRevert(ModelRegistry.ShardsNotFinal.selector);
        models.registerAdapter{value: 1 ether}(a);
        (a.shardCount, a.datanet) = (1, 2);
        vm.expectPartialRevert(ModelRegistry.ShardsNotFinal.selector);
        models.registerAdapter{value: 1 ether}(a);
        (a.datanet, a.adapter) = (1, 0);
        vm.expectRevert(ModelRegistry.NoHash.selector);
        models.registerAdapter{value: 1 ether}(a);
        (a.adapter, a.name) = (ADAPTER, "base");
        vm.expectRevert(abi.encodeWithSelector(ModelRegistry.NameTaken.selector, BASE));
        models.registerAdapter{value: 1 ether}(a);
        a.name = "a";
        vm.expectRevert(abi.encodeWithSelector(ModelRegistry.WrongFee.selector, 0, 1 ether));
        models.registerAdapter(a);
        models.registerAdapter{value: 1 ether}(a);
        vm.expectPartialRevert(ModelRegistry.AlreadyRegistered.selector);
        models.registerAdapter{value: 1 ether}(a);

        require(models.adapterOf(ADAPTER).owner == address(this));
        (uint32 datanet, uint32 count) = models.corpusOf(ADAPTER);
        require(datanet == 1 && count == 1);
        models.collectFees();
        eq(TREASURY.balance, 2 ether, "fees");
    }

    function testFuzz_namesAreOfTheAllowedCharacters(bytes1 c) public {
        bool allowed = (c >= 0x61 && c <= 0x7a) || (c >= 0x30 && c <= 0x39) || c == 0x2d || c == 0x2e || c == 0x5f;
        if (!allowed) vm.expectRevert(ModelRegistry.BadName.selector);
        models.registerBase{value: 1 ether}(BASE, string(abi.encodePacked("m", c)));
    }

    function test_namesAreBounded() public {
        vm.expectRevert(ModelRegistry.BadName.selector);
        models.registerBase{value: 1 ether}(BASE, "");
        bytes memory name = new bytes(65);
        for (uint256 i = 0; i < 65; ++i) {
            name[i] = "a";
        }
        vm.expectRevert(ModelRegistry.BadName.selector);
        models.registerBase{value: 1 ether}(BASE, string(name));
        assembly {
            mstore(name, 64)
        }
        models.registerBase{value: 1 ether}(BASE, string(name));
    }

    // ------------------------------------------------------------ parameters

    function test_versionsBindAfterTheDelay() public {
        eq(parameters.current(), 1, "first");
        Parameters.Values memory v = defaults();
        v.platformBps = 500;
        eq(parameters.propose(v), 2, "version");
        eq(parameters.inForce().platformBps, 1_000, "not yet");
        vm.expectPartialRevert(Parameters.VersionPending.selector);
        parameters.propose(v);
        vm.warp(block.timestamp + DELAY - 1);
        eq(parameters.current(), 1, "not yet");
        vm.warp(block.timestamp + 1);
        eq(parameters.current(), 2, "now");
        eq(parameters.inForce().platformBps, 500, "now");
        eq(parameters.at(1).platformBps, 1_000, "the past stays");
        vm.expectRevert(abi.encodeWithSelector(Parameters.UnknownVersion.selector, 0));
        parameters.at(0);
        vm.expectRevert(abi.encodeWithSelector(Parameters.UnknownVersion.selector, 3));
        parameters.at(3);
        eq(parameters.propose(v), 3, "next");
    }

    /// Each field at its limit passes, one past it does not.
    function test_everyFieldIsBounded() public {
        (Parameters.Values memory low, Parameters.Values memory high) = parameters.bounds();
        uint256 words = abi.encode(low).length / 32;
        eq(words, 27, "fields");
        for (uint256 i = 0; i < words; ++i) {
            (uint256 lo, uint256 hi) = (word(low, i), word(high, i));
            if (lo != 0) refused(i, lo - 1, abi.encodeWithSelector(Parameters.OutOfBounds.selector, i, lo - 1, lo, hi));
            refused(i, hi + 1, abi.encodeWithSelector(Parameters.OutOfBounds.selector, i, hi + 1, lo, hi));
        }
    }

    function word(Parameters.Values memory v, uint256 i) internal pure returns (uint256 w) {
        bytes memory data = abi.encode(v);
        assembly {
            w := mload(add(add(data, 32), mul(i, 32)))
        }
    }

    function refused(uint256 i, uint256 value, bytes memory why) internal {
        bytes memory data = abi.encode(defaults());
        assembly {
            mstore(add(add(data, 32), mul(i, 32)), value)
        }
        Parameters.Values memory v = abi.decode(data, (Parameters.Values));
        vm.expectRevert(why);
        parameters.propose(v);
    }

    function test_contradictionsAreRefused() public {
        Parameters.Values[6] memory v;
        for (uint256 i = 0; i < 6; ++i) {
            v[i] = defaults();
        }
        (v[0].spanMin, v[0].spanMax) = (200, 100);
        (v[1].platformBps, v[1].modelBps, v[1].stakersBps) = (3_000, 5_000, 2_001);
        (v[2].challengerBps, v[2].treasuryBps) = (5_000, 5_001);
        (v[3].window, v[3].unbonding) = (21 days, 21 days);
        (v[4].response, v[4].unbonding) = (2 days, 2 days);
        (v[5].datanetWindow, v[5].unbonding) = (21 days, 21 days);
        for (uint256 i = 0; i < 6; ++i) {
            vm.expectRevert(Parameters.Contradictory.selector);
            parameters.propose(v[i]);
        }
    }

    /// Not even bounds that allow it let a challenger have more than half.
    function test_challengerIsCappedAtHalf() public {
        (Parameters.Values memory low, Parameters.Values memory high) = limits();
        high.challengerBps = 10_000;
        Parameters.Values memory v = defaults();
        v.challengerBps = 5_001;
        vm.expectRevert(Parameters.Contradictory.selector);
        new Parameters(address(authority), DELAY, v, low, high);
        v.challengerBps = 5_000;
        new Parameters(address(authority), DELAY, v, low, high);
    }
}
