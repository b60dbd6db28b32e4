// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";

/// Everything that is voted on. Each change is a new version: bounded, announced `DELAY` before it binds, never rewritten.
/// A batch, receipt or game is judged by the version of its time, so it stores `current()` and later reads `at(version)`.
contract Parameters is AccessManaged {
    struct Values {
        uint32 spanMin; // bytes; the attribution threshold
        uint32 spanMax; // bytes
        uint32 holdersMax; // contributors paid for one span
        uint16[4] spanWeights; // per span lengths [spanMin,64) [64,128) [128,256) [256,..)
        uint16 commonBps; // what a span held by `holdersMax` contributors still pays
        uint16 platformBps; // of a fee, to the treasury
        uint16 modelBps; // of a fee, host and adapter owner together
        uint16 stakersBps; // of a fee; the contributors get the rest
        uint64 window; // seconds in which a batch may be refuted; also the notice a payer gives before withdrawing
        uint64 response; // seconds to answer a demand for data
        uint128 bondMin; // wei behind a batch, at least; and behind a node's registration
        uint16 bondBps; // and at least this part of its total
        uint128 demandBond; // wei
        uint16 challengerBps; // of a slash
        uint16 treasuryBps; // of a slash; the rest is burned
        uint64 unbonding; // seconds between asking for stake and getting it
        uint64 datanetWindow; // seconds in which a shard or a feature set may be refuted
        uint128 datanetBond; // wei behind a shard, or a feature set
        uint128 modelFee; // wei to register a base model or an adapter
        uint128 datanetFee; // wei to create a Datanet
        uint32 influencesMax; // examples paid for one answer
        uint16 influenceSigma; // hundredths of the deviation that chance gives a score; paid is what exceeds it
        uint16 influenceBps; // of what no span covers, to the influences
        uint16 duplicateBps; // cosine from which on a later example is a copy of the earlier
    }

    uint256 public constant BPS = 10_000;
    uint256 public constant CHALLENGER_BPS_MAX = 5_000; // who slashes himself always loses at least half
    uint256 public constant HOLDERS_MAX = 4; // slots of a claim
    uint256 public constant INFLUENCES_MAX = 64; // of one answer
    uint256 public constant SPAN_MAX = 256; // one text opening covers a span and one byte more
    uint64 public immutable DELAY;

    // Version v is _values[v - 1]; at most the last one is not in force yet.
    Values[] internal _values;
    uint64[] internal _effectiveAt;
    Values internal _lowest;
    Values internal _highest;

    event ParametersProposed(uint32 indexed version, uint64 effectiveAt, Values values);

    error UnknownVersion(uint32 version);
    error VersionPending(uint32 version, uint64 effectiveAt);
    error OutOfBounds(uint256 word, uint256 value, uint256 lowest, uint256 highest);
    error Contradictory();

    /// @param lowest_ and highest_ bound each field for ever; no vote can leave them.
    constructor(address authority, uint64 delay, Values memory initial, Values memory lowest_, Values memory highest_)
        AccessManaged(authority)
    {
        DELAY = delay;
        _lowest = lowest_;
        _highest = highest_;
        _append(initial, uint64(block.timestamp));
    }

    function propose(Values calldata values) external restricted returns (uint32 version) {
        uint32 last = uint32(_values.length);
        if (current() != last) revert VersionPending(last, _effectiveAt[last - 1]);
        return _append(values, uint64(block.timestamp) + DELAY);
    }

    // ------------------------------------------------------------ views

    function current() public view returns (uint32) {
        uint256 last = _values.length;
        return uint32(block.timestamp < _effectiveAt[last - 1] ? last - 1 : last);
    }

    function at(uint32 version) external view returns (Values memory) {
        if (version == 0 || version > _values.length) revert UnknownVersion(version);
        return _values[version - 1];
    }

    /// Of them what a span is: one word of storage instead of eight.
    function spansAt(uint32 version) external view returns (uint32 spanMin, uint32 spanMax, uint32 holdersMax) {
        if (version == 0 || version > _values.length) revert UnknownVersion(version);
        Values storage v = _values[version - 1];
        return (v.spanMin, v.spanMax, v.holdersMax);
    }

    /// The values in force: what a contract wants that judges nothing later.
    function inForce() external view returns (Values memory) {
        return _values[current() - 1];
    }

    function bounds() external view returns (Values memory lowest, Values memory highest) {
        return (_lowest, _highest);
    }

    // ------------------------------------------------------------ internals

    function _append(Values memory values, uint64 effectiveAt) internal returns (uint32 version) {
        _check(values);
        _values.push(values);
        _effectiveAt.push(effectiveAt);
        version = uint32(_values.length);
        emit ParametersProposed(version, effectiveAt, values);
    }

    function _check(Values memory v) internal view {
        // Values is static, so its encoding is one word for each field: one loop bounds them all.
        bytes memory values = abi.encode(v);
        bytes memory lowest = abi.encode(_lowest);
        bytes memory highest = abi.encode(_highest);
        for (uint256 i = 32; i <= values.length; i += 32) {
            (uint256 x, uint256 lo, uint256 hi) = (_word(values, i), _word(lowest, i), _word(highest, i));
            if (x < lo || x > hi) revert OutOfBounds(i / 32 - 1, x, lo, hi);
        }
        bool weights = true;
        for (uint256 i = 0; i < 4; ++i) {
            weights = weights && v.spanWeights[i] <= BPS;
        }
        bool sane = weights && v.spanMin != 0 && v.spanMin <= v.spanMax && v.spanMax <= SPAN_MAX && v.holdersMax != 0
            && v.holdersMax <= HOLDERS_MAX && v.commonBps <= BPS
            && uint256(v.platformBps) + v.modelBps + v.stakersBps <= BPS && v.challengerBps <= CHALLENGER_BPS_MAX
            && uint256(v.challengerBps) + v.treasuryBps <= BPS && v.window != 0 && v.response != 0 && v.bondMin != 0
            && v.influencesMax != 0 && v.influencesMax <= INFLUENCES_MAX && v.influenceBps <= BPS
            && v.influenceSigma != 0 && v.duplicateBps <= BPS
            // stake that can still be guilty must not be gone
            && v.window < v.unbonding && v.response < v.unbonding && v.datanetWindow < v.unbonding;
        if (!sane) revert Contradictory();
    }

    function _word(bytes memory data, uint256 offset) internal pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(data, offset))
        }
    }
}
