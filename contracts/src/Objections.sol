// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {NodeRegistry} from "./NodeRegistry.sol";

/// What no single transaction can prove (a feature that does not come from the weights, a body that nobody can have
/// though single leaves are opened): the validators who were there before it object, and more than half of their bonds
/// void it. Nobody is slashed for it; but its bond stays locked as long as stake that leaves, so that junk, posted again and
/// again, costs more than its gas.
abstract contract Objections {
    NodeRegistry public immutable NODES;

    mapping(uint256 subject => mapping(address validator => bool)) public hasObjected;
    mapping(uint256 subject => uint256) public objected; // wei behind those who did
    mapping(uint256 subject => uint64) public releasableAt; // when the bond of what died by it comes free; 0 if none waits

    event Objected(uint256 indexed id, address indexed validator, uint256 weight, uint256 total);
    event BondReleased(uint256 indexed id);

    error NoVote(address who);
    error AlreadyObjected(address validator);
    error NotReleasable(uint64 at);

    constructor(NodeRegistry nodes) {
        NODES = nodes;
    }

    // ------------------------------------------------------------ what the heir defines

    /// Reverts unless the subject can still be refuted; when it was posted, and wei behind all validators then.
    function _jury(uint256 subject) internal view virtual returns (uint64 postedAt, uint128 total);
    /// Seconds from the posting in which the bond of what died by objection stays locked.
    function _unbonding(uint256 subject) internal view virtual returns (uint64);
    /// Ends the subject and what was built on it; the bonds of that go back, its own stays.
    function _void(uint256 subject) internal virtual;
    function _unlock(uint256 subject) internal virtual;

    // ------------------------------------------------------------ validator

    /// Once, by who has been a validator since before the posting: who comes later is not in the total either.
    function object(uint256 subject) external {
        (uint64 postedAt, uint128 total) = _jury(subject);
        (uint128 weight, uint64 since) = NODES.stakeIn(msg.sender, NODES.VALIDATOR());
        if (weight == 0 || since >= postedAt) revert NoVote(msg.sender);
        if (hasObjected[subject][msg.sender]) revert AlreadyObjected(msg.sender);
        hasObjected[subject][msg.sender] = true;
        uint256 weights = objected[subject] + weight;
        objected[subject] = weights;
        emit Objected(subject, msg.sender, weight, total);
        if (2 * weights <= total) return;
        releasableAt[subject] = postedAt + _unbonding(subject);
        _void(subject);
    }

    // ------------------------------------------------------------ anyone

    /// Gives the bond back of what died by objection.
    function release(uint256 id) external {
        uint64 due = releasableAt[id];
        if (due == 0 || block.timestamp < due) revert NotReleasable(due);
        releasableAt[id] = 0;
        emit BondReleased(id);
        _unlock(id);
    }
}
