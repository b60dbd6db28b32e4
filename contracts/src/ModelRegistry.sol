// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {Parameters} from "./Parameters.sol";

interface IDatanets {
    /// How many of a Datanet's first shards have passed their window; 0 for an unknown one.
    function finalShards(uint32 datanet) external view returns (uint32);
}

/// Base models and adapters, each under the sha256 of its weights, with the corpus it was trained on. Never removed,
/// so what is paid and judged later finds the same lineage and split.
contract ModelRegistry {
    struct AdapterInfo {
        bytes32 adapter; // sha256 of the weights file
        bytes32 base;
        uint32 datanet;
        uint32 shardCount; // trained on, and attributed to, shards [0, shardCount)
        bytes32 weightsRoot; // BODY tree of the weights file, to fetch it chunk by chunk
        uint64 weightsSize; // bytes
        bytes32 configHash; // sha256 of adapter_config.json
        bytes32 manifestHash; // sha256 of the training manifest
        uint16 hostBps; // the host's part of the model share; the owner gets the rest
        string name;
    }

    struct Adapter {
        address owner;
        uint16 hostBps;
        uint32 datanet;
        uint32 shardCount;
        bytes32 base;
    }

    uint256 public constant BPS = 10_000;
    uint256 public constant NAME_MAX = 64; // bytes
    uint256 public constant WEIGHTS_MAX = 1 << 30; // bytes
    Parameters public immutable PARAMETERS;
    IDatanets public immutable DATANETS;
    address public immutable TREASURY;

    mapping(bytes32 base => address) public baseOwner;
    mapping(bytes32 adapter => Adapter) internal _adapters;
    /// One name space for both: the name is what a user asks the API for.
    mapping(bytes32 nameHash => bytes32 id) public named;

    event BaseRegistered(bytes32 indexed base, address indexed owner, string name);
    event AdapterRegistered(
        bytes32 indexed adapter,
        bytes32 indexed base,
        address indexed owner,
        uint32 datanet,
        uint32 shardCount,
        bytes32 weightsRoot,
        uint64 weightsSize,
        bytes32 configHash,
        bytes32 manifestHash,
        uint16 hostBps,
        string name
    );
    event FeesCollected(address indexed treasury, uint256 amount);

    error WrongFee(uint256 have, uint256 want);
    error NoHash();
    error AlreadyRegistered(bytes32 id);
    error UnknownBase(bytes32 base);
    error ShardsNotFinal(uint32 have, uint32 want);
    error BadSplit(uint16 hostBps);
    error BadSize(uint64 weightsSize);
    error BadName();
    error NameTaken(bytes32 by);

    constructor(Parameters parameters, IDatanets datanets, address treasury) {
        PARAMETERS = parameters;
        DATANETS = datanets;
        TREASURY = treasury;
    }

    // ------------------------------------------------------------ registration

    function registerBase(bytes32 base, string calldata name) external payable {
        _payFee();
        if (base == bytes32(0)) revert NoHash();
        if (baseOwner[base] != address(0)) revert AlreadyRegistered(base);
        _takeName(name, base);
        baseOwner[base] = msg.sender;
        emit BaseRegistered(base, msg.sender, name);
    }

    /// Who registers a hash first owns it: publish the weights only after this transaction.
    function registerAdapter(AdapterInfo calldata info) external payable {
        _payFee();
        if (info.adapter == bytes32(0)) revert NoHash();
        if (_adapters[info.adapter].owner != address(0)) revert AlreadyRegistered(info.adapter);
        if (baseOwner[info.base] == address(0)) revert UnknownBase(info.base);
        if (info.hostBps > BPS) revert BadSplit(info.hostBps);
        if (info.weightsSize == 0 || info.weightsSize > WEIGHTS_MAX) revert BadSize(info.weightsSize);
        uint32 finals = DATANETS.finalShards(info.datanet);
        if (info.shardCount == 0 || info.shardCount > finals) revert ShardsNotFinal(finals, info.shardCount);
        _takeName(info.name, info.adapter);
        _adapters[info.adapter] = Adapter(msg.sender, info.hostBps, info.datanet, info.shardCount, info.base);
        _announce(info);
    }

    /// Anyone may trigger.
    function collectFees() external {
        uint256 amount = address(this).balance;
        emit FeesCollected(TREASURY, amount);
        Address.sendValue(payable(TREASURY), amount);
    }

    // ------------------------------------------------------------ views

    /// The owner is 0 for an adapter that is not registered.
    function adapterOf(bytes32 adapter) external view returns (Adapter memory) {
        return _adapters[adapter];
    }

    function corpusOf(bytes32 adapter) external view returns (uint32 datanet, uint32 shardCount) {
        Adapter storage a = _adapters[adapter];
        return (a.datanet, a.shardCount);
    }

    // ------------------------------------------------------------ internals

    function _payFee() internal view {
        uint256 fee = PARAMETERS.inForce().modelFee;
        if (msg.value != fee) revert WrongFee(msg.value, fee);
    }

    /// 1 to 64 of [a-z0-9._-], so that no two names look alike.
    function _takeName(string calldata name, bytes32 id) internal {
        bytes calldata s = bytes(name);
        if (s.length == 0 || s.length > NAME_MAX) revert BadName();
        for (uint256 i = 0; i < s.length; ++i) {
            bytes1 c = s[i];
            bool allowed = (c >= "a" && c <= "z") || (c >= "0" && c <= "9") || c == "." || c == "_" || c == "-";
            if (!allowed) revert BadName();
        }
        bytes32 key = keccak256(s);
        if (named[key] != bytes32(0)) revert NameTaken(named[key]);
        named[key] = id;
    }

    function _announce(AdapterInfo calldata info) internal {
        emit AdapterRegistered(
            info.adapter,
            info.base,
            msg.sender,
            info.datanet,
            info.shardCount,
            info.weightsRoot,
            info.weightsSize,
            info.configHash,
            info.manifestHash,
            info.hostBps,
            info.name
        );
    }
}
