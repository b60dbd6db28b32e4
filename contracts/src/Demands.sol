// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {Kind} from "./Batches.sol";

/// Data availability: whoever posted a root opens the leaf that is asked for, or loses the bond. The demander bonds the
/// answer's gas; the bond goes to who answers. A demand ends within the window, so it never delays an honest poster.
abstract contract Demands {
    struct Demand {
        address by; // 0: never demanded
        uint64 until; // 0: settled
        uint128 bond;
    }

    mapping(uint256 subject => mapping(uint256 leaf => Demand)) internal _demands;
    mapping(uint256 subject => uint256) public openDemands;
    mapping(address owner => uint256) public credit;
    uint256 public totalCredit;
    uint256 public totalDemandBonds;

    event OpeningDemanded(uint256 indexed subject, uint8 indexed tree, uint64 indexed index, address by, uint64 until);
    event OpeningAnswered(uint256 indexed subject, uint8 indexed tree, uint64 indexed index, address by);
    event DemandRefunded(uint256 indexed subject, uint8 indexed tree, uint64 indexed index, address by);
    event CreditClaimed(address indexed owner, address indexed to, uint256 amount);

    error WrongDemandBond(uint256 have, uint256 want);
    error AlreadyDemanded();
    error NotDemanded();
    error TooLate(uint64 deadline);
    error ResponseOpen(uint64 until);
    error StillPending();
    error BadIndex(uint8 tree, uint64 index);
    error BadDisclosure();
    error NothingToClaim();

    // ------------------------------------------------------------ what the heir defines

    /// Reverts unless the subject can still be refuted; its deadline.
    function _deadlineOf(uint256 subject) internal view virtual returns (uint64);
    /// Whether the subject waits for its window to pass.
    function _isPending(uint256 subject) internal view virtual returns (bool);
    /// Whether the subject has a leaf with that number in that tree.
    function _hasLeaf(uint256 subject, uint8 tree, uint64 index) internal view virtual returns (bool);
    /// Seconds to answer, and wei to put behind a demand.
    function _terms(uint256 subject) internal view virtual returns (uint64 response, uint128 bond);
    function _slash(uint256 subject, uint8 kind, address challenger) internal virtual;

    // ------------------------------------------------------------ demander

    function demand(uint256 subject, uint8 tree, uint64 index) external payable {
        uint64 deadline = _deadlineOf(subject);
        (uint64 response, uint128 bond) = _terms(subject);
        if (msg.value != bond) revert WrongDemandBond(msg.value, bond);
        if (!_hasLeaf(subject, tree, index)) revert BadIndex(tree, index);
        uint64 until = uint64(block.timestamp) + response;
        if (until > deadline) revert TooLate(deadline);
        Demand storage d = _demands[subject][_leaf(tree, index)];
        if (d.by != address(0)) revert AlreadyDemanded();
        (d.by, d.until, d.bond) = (msg.sender, until, bond);
        openDemands[subject] += 1;
        totalDemandBonds += bond;
        emit OpeningDemanded(subject, tree, index, msg.sender, until);
    }

    /// Anyone may call; the demander is the challenger and gets the demand's bond back.
    function claimUnanswered(uint256 subject, uint8 tree, uint64 index) external {
        if (!_isPending(subject)) revert NotDemanded();
        Demand storage d = _open(subject, tree, index);
        if (block.timestamp < d.until) revert ResponseOpen(d.until);
        _settle(subject, d, d.by);
        _slash(subject, Kind.WITHHELD, d.by);
    }

    /// The bond of a demand whose subject died of something else.
    function refundDemand(uint256 subject, uint8 tree, uint64 index) external {
        if (_isPending(subject)) revert StillPending();
        Demand storage d = _open(subject, tree, index);
        _settle(subject, d, d.by);
        emit DemandRefunded(subject, tree, index, d.by);
    }

    function claimCredit(address to) external {
        uint256 amount = credit[msg.sender];
        if (amount == 0) revert NothingToClaim();
        credit[msg.sender] = 0;
        totalCredit -= amount;
        emit CreditClaimed(msg.sender, to, amount);
        Address.sendValue(payable(to), amount);
    }

    function demandOf(uint256 subject, uint8 tree, uint64 index) external view returns (Demand memory) {
        return _demands[subject][_leaf(tree, index)];
    }

    // ------------------------------------------------------------ internals

    /// The heir has checked the opening. Late is better than never: valid until somebody claims the demand.
    function _answered(uint256 subject, uint8 tree, uint64 index) internal {
        if (!_isPending(subject)) revert NotDemanded();
        _settle(subject, _open(subject, tree, index), msg.sender);
        emit OpeningAnswered(subject, tree, index, msg.sender);
    }

    function _settle(uint256 subject, Demand storage d, address to) private {
        d.until = 0;
        openDemands[subject] -= 1;
        totalDemandBonds -= d.bond;
        totalCredit += d.bond;
        credit[to] += d.bond;
    }

    function _open(uint256 subject, uint8 tree, uint64 index) private view returns (Demand storage d) {
        d = _demands[subject][_leaf(tree, index)];
        if (d.until == 0) revert NotDemanded();
    }

    function _leaf(uint8 tree, uint64 index) private pure returns (uint256) {
        return uint256(tree) << 64 | index;
    }
}
