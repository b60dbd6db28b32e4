// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {Parameters} from "./Parameters.sol";
import {StakeVault} from "./StakeVault.sol";

/// Who runs a node, in which roles, under which peer id and address; behind each a bond of `bondMin` locked stake.
contract NodeRegistry is AccessManaged {
    struct Node {
        uint8 roles;
        uint64 leavesAt; // 0 while the node is registered
        uint64 since; // when it was registered, or last took a role that it had not
        uint128 bond;
        bytes peerId;
        string endpoint; // multiaddr
    }

    uint8 public constant CURATOR = 1;
    uint8 public constant VALIDATOR = 2;
    uint8 public constant HOST = 4;
    uint8 public constant PROVER = 8;
    uint8 public constant SEQUENCER = 16;
    uint8 public constant ALL_ROLES = 31;
    uint256 public constant PEER_ID_MAX = 64; // bytes
    uint256 public constant ENDPOINT_MAX = 256; // bytes
    Parameters public immutable PARAMETERS;
    StakeVault public immutable VAULT;

    mapping(address operator => Node) internal _nodes;
    mapping(bytes32 peerIdHash => address) internal _operatorOf;
    /// Every role ever held, never taken back. What judges the past (was this receipt's host a host?) reads this, so
    /// that a host who leaves or is slashed cannot make an honest prover's batch refutable.
    mapping(address operator => uint8) public rolesEver;
    /// Wei behind all registered nodes of one role (a single bit).
    mapping(uint8 role => uint128) public bondOf;

    event NodeRegistered(address indexed operator, uint8 roles, uint256 bond, bytes peerId, string endpoint);
    event NodeUpdated(address indexed operator, uint8 roles, bytes peerId, string endpoint);
    event NodeLeft(address indexed operator, uint64 releasableAt);
    event NodeReleased(address indexed operator, uint256 bond);
    event NodeSlashed(address indexed operator, address indexed challenger, uint256 bond);

    error AlreadyRegistered(address operator);
    error NotRegistered(address operator);
    error StillLeaving(uint64 releasableAt);
    error BadRoles(uint8 roles);
    error BadPeerId(uint256 length);
    error BadEndpoint(uint256 length);
    error PeerIdTaken(address by);

    constructor(address authority, Parameters parameters, StakeVault vault) AccessManaged(authority) {
        PARAMETERS = parameters;
        VAULT = vault;
    }

    // ------------------------------------------------------------ operators

    /// What is sent is staked for the caller first; the bond is then locked from his free stake.
    function register(uint8 roles, bytes calldata peerId, string calldata endpoint) external payable {
        Node storage node = _nodes[msg.sender];
        if (node.bond != 0) revert AlreadyRegistered(msg.sender);
        uint128 bond = PARAMETERS.inForce().bondMin;
        node.bond = bond;
        _write(node, roles, peerId, endpoint);
        emit NodeRegistered(msg.sender, roles, bond, peerId, endpoint);
        if (msg.value != 0) VAULT.stake{value: msg.value}(msg.sender);
        VAULT.lock(msg.sender, bond);
    }

    function update(uint8 roles, bytes calldata peerId, string calldata endpoint) external {
        Node storage node = _registered(msg.sender);
        delete _operatorOf[keccak256(node.peerId)];
        _withdraw(node.roles, node.bond);
        _write(node, roles, peerId, endpoint);
        emit NodeUpdated(msg.sender, roles, peerId, endpoint);
    }

    /// The roles end now; the bond stays, and can be slashed, for the unbonding time.
    function leave() external {
        Node storage node = _registered(msg.sender);
        _withdraw(node.roles, node.bond);
        node.leavesAt = uint64(block.timestamp) + PARAMETERS.inForce().unbonding;
        emit NodeLeft(msg.sender, node.leavesAt);
    }

    /// Anyone may trigger; the bond becomes the operator's free stake.
    function release(address operator) external {
        Node storage node = _nodes[operator];
        if (node.leavesAt == 0) revert NotRegistered(operator);
        if (block.timestamp < node.leavesAt) revert StillLeaving(node.leavesAt);
        uint128 bond = _erase(operator);
        emit NodeReleased(operator, bond);
        VAULT.unlock(operator, bond);
    }

    // ------------------------------------------------------------ modules

    /// Takes the bond and ends the registration; also of a node that is leaving.
    function slash(address operator, address challenger) external restricted {
        Node storage node = _nodes[operator];
        if (node.bond == 0) revert NotRegistered(operator);
        if (node.leavesAt == 0) _withdraw(node.roles, node.bond);
        uint128 bond = _erase(operator);
        emit NodeSlashed(operator, challenger, bond);
        VAULT.slashLocked(operator, bond, challenger);
    }

    // ------------------------------------------------------------ views

    /// The roles held now; 0 for who is not registered or is leaving.
    function rolesOf(address operator) external view returns (uint8) {
        Node storage node = _nodes[operator];
        return node.leavesAt == 0 ? node.roles : 0;
    }

    /// The bond of who holds all of `roles` now, and since when; 0 for who does not.
    function stakeIn(address operator, uint8 roles) external view returns (uint128 bond, uint64 since) {
        Node storage node = _nodes[operator];
        if (node.leavesAt == 0 && node.roles & roles == roles) (bond, since) = (node.bond, node.since);
    }

    function nodeOf(address operator) external view returns (Node memory) {
        return _nodes[operator];
    }

    function operatorOf(bytes calldata peerId) external view returns (address) {
        return _operatorOf[keccak256(peerId)];
    }

    // ------------------------------------------------------------ internals

    function _registered(address operator) internal view returns (Node storage node) {
        node = _nodes[operator];
        if (node.bond == 0 || node.leavesAt != 0) revert NotRegistered(operator);
    }

    function _write(Node storage node, uint8 roles, bytes calldata peerId, string calldata endpoint) internal {
        if (roles == 0 || roles > ALL_ROLES) revert BadRoles(roles);
        if (peerId.length == 0 || peerId.length > PEER_ID_MAX) revert BadPeerId(peerId.length);
        if (bytes(endpoint).length > ENDPOINT_MAX) revert BadEndpoint(bytes(endpoint).length);
        address holder = _operatorOf[keccak256(peerId)];
        if (holder != address(0)) revert PeerIdTaken(holder);
        _operatorOf[keccak256(peerId)] = msg.sender;
        rolesEver[msg.sender] |= roles;
        // A role taken anew makes the whole node new: who wants to judge what is posted was there before it.
        if (roles & ~node.roles != 0) node.since = uint64(block.timestamp);
        node.roles = roles;
        for (uint8 role = 1; role <= ALL_ROLES; role <<= 1) {
            if (roles & role != 0) bondOf[role] += node.bond;
        }
        node.peerId = peerId;
        node.endpoint = endpoint;
    }

    function _withdraw(uint8 roles, uint128 bond) internal {
        for (uint8 role = 1; role <= ALL_ROLES; role <<= 1) {
            if (roles & role != 0) bondOf[role] -= bond;
        }
    }

    function _erase(address operator) internal returns (uint128 bond) {
        Node storage node = _nodes[operator];
        bond = node.bond;
        delete _operatorOf[keccak256(node.peerId)];
        delete _nodes[operator];
    }
}
