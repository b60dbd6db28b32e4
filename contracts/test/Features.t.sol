// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Features} from "../src/Features.sol";
import {T} from "./Vm.t.sol";

/// The library behind calls, and the obvious way to do the same.
contract FeaturesUnderTest {
    function dot(bytes calldata a, bytes calldata b) external pure returns (int256) {
        return Features.dot(a, b);
    }

    function gasOfDot(bytes calldata a, bytes calldata b) external view returns (uint256 spent) {
        spent = gasleft();
        Features.dot(a, b);
        spent -= gasleft();
    }

    function norm2(bytes calldata a) external pure returns (uint256) {
        return Features.norm2(a);
    }

    function wellFormed(bytes calldata a) external pure returns (bool) {
        return Features.wellFormed(a);
    }

    function naive(bytes calldata a, bytes calldata b) external pure returns (int256 s) {
        for (uint256 i = 0; i < a.length; ++i) {
            s += int256(int8(uint8(a[i]))) * int256(int8(uint8(b[i])));
        }
    }
}

contract FeaturesTest is T {
    uint256 constant K = 2048;
    FeaturesUnderTest features = new FeaturesUnderTest();

    function drawn(uint256 seed) internal pure returns (bytes memory v) {
        v = new bytes(K);
        for (uint256 i = 0; i < K; i += 32) {
            bytes32 word = keccak256(abi.encode(seed, i));
            assembly ("memory-safe") {
                mstore(add(add(v, 32), i), word)
            }
        }
    }

    function filled(bytes1 x) internal pure returns (bytes memory v) {
        v = new bytes(K);
        for (uint256 i = 0; i < K; ++i) v[i] = x;
    }

    /// Nothing but the least and the greatest.
    function extremes(uint256 seed) internal pure returns (bytes memory v) {
        v = drawn(seed);
        for (uint256 i = 0; i < K; ++i) v[i] = uint8(v[i]) & 1 == 0 ? bytes1(0x80) : bytes1(0x7f);
    }

    function agree(bytes memory a, bytes memory b) internal view {
        int256 want = features.naive(a, b);
        eq(uint256(features.dot(a, b)), uint256(want), "dot");
        eq(uint256(features.dot(b, a)), uint256(want), "turned round");
        eq(features.norm2(a), uint256(features.naive(a, a)), "norm");
    }

    /// forge-config: default.fuzz.runs = 32
    function testFuzz_productsAreTheObviousOnes(uint256 seed) public view {
        agree(drawn(seed), drawn(~seed));
        agree(extremes(seed), extremes(~seed));
        agree(drawn(seed), extremes(seed));
    }

    function test_theExtremesDoNotSpillOver() public view {
        bytes1[4] memory some = [bytes1(0x80), 0x7f, 0x81, 0x00];
        for (uint256 i = 0; i < 4; ++i) {
            for (uint256 j = 0; j < 4; ++j) agree(filled(some[i]), filled(some[j]));
        }
        eq(uint256(features.dot(filled(0x80), filled(0x80))), K * 128 * 128, "greatest");
        require(features.dot(filled(0x80), filled(0x7f)) == -int256(K * 128 * 127), "least");
    }

    /// One coordinate against one other: only equal places meet.
    function testFuzz_onlyEqualPlacesMeet(uint256 i, uint256 j, int8 x, int8 y) public view {
        (i, j) = (bound(i, 0, K - 1), bound(j, 0, K - 1));
        (bytes memory a, bytes memory b) = (new bytes(K), new bytes(K));
        (a[i], b[j]) = (bytes1(uint8(x)), bytes1(uint8(y)));
        require(features.dot(a, b) == (i == j ? int256(x) * y : int256(0)), "another place");
        b = new bytes(K);
        b[i] = bytes1(uint8(y));
        require(features.dot(a, b) == int256(x) * y, "its own place");
    }

    function test_featuresHaveOneDimension() public {
        bytes memory right = new bytes(K);
        uint256[4] memory wrong = [uint256(0), 32, K - 1, K + 32];
        for (uint256 i = 0; i < 4; ++i) {
            bytes memory other = new bytes(wrong[i]);
            require(!features.wellFormed(other), "well formed");
            vm.expectPartialRevert(Features.BadDimension.selector);
            features.dot(right, other);
            vm.expectPartialRevert(Features.BadDimension.selector);
            features.dot(other, right);
        }
    }

    /// A feature of exactly that square: four squares always suffice, here of bytes below 128.
    function ofSquare(uint256 square) internal pure returns (bytes memory v) {
        v = new bytes(K);
        for (uint256 i = 0; square != 0; ++i) {
            uint256 x = 127;
            while (x * x > square) --x;
            v[i] = bytes1(uint8(i & 1 == 0 ? x : 256 - x));
            square -= x * x;
        }
    }

    function test_aFeatureHasTheOneLengthOrNone() public view {
        require(features.wellFormed(ofSquare(0)), "nothing");
        require(!features.wellFormed(ofSquare(1)), "almost nothing");
        require(!features.wellFormed(ofSquare(Features.NORM2_MIN - 1)), "short");
        require(features.wellFormed(ofSquare(Features.NORM2_MIN)), "shortest");
        require(features.wellFormed(ofSquare(Features.NORM2_MAX)), "longest");
        require(!features.wellFormed(ofSquare(Features.NORM2_MAX + 1)), "long");
        eq(features.norm2(ofSquare(2_064_512)), 2_064_512, "of that square");
    }

    function test_creditBeginsAboveTheThreshold() public pure {
        // 2048 s^2 10^4 > 300^2 n^2 with n = 2^21: s > 139,022.8
        uint256 n = 1 << 21;
        require(!Features.credited(139_022, n, n, 300), "at the threshold");
        require(Features.credited(139_023, n, n, 300), "above it");
        require(!Features.credited(-139_023, n, n, 300), "against");
        require(!Features.credited(0, 0, 0, 300), "nothing");
        // Exactly on it: 2048 * 625^2 * 10^4 = 8e12 = 10^4 * (8e8) with sigma 100
        require(!Features.credited(625, 800_000_000, 1, 100), "equal is not above");
        require(Features.credited(625, 799_999_999, 1, 100), "just above");
    }

    function test_nearBeginsAtTheThreshold() public pure {
        require(Features.near(98, 100, 100, 9_800), "equal is near");
        require(!Features.near(97, 100, 100, 9_800), "less is not");
        require(!Features.near(-100, 100, 100, 9_800), "opposite");
        require(!Features.near(0, 0, 0, 9_800), "nothing is near nothing");
        require(Features.near(1 << 25, 1 << 25, 1 << 25, 9_999), "no overflow");
    }

    function test_aCoordinateCostsLittle() public view {
        uint256 spent = features.gasOfDot(drawn(1), drawn(2));
        if (spent > 20 * K) revert Differs("gas of a product", spent, 20 * K);
    }
}
