// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {BPS} from "./Batches.sol";

/// Features of examples and of answers: 2048 signed bytes each, and what a pair of them says. Twin of
/// `protocol/features.py`.
library Features {
    uint256 internal constant DIMENSION = 2048; // coordinates, int8 in two's complement
    // Of the square of a feature's length: DIMENSION * (127 / 4)^2, give or take 3 %. All have one length, so that none is
    // heard better for being loud; a gradient of nothing has none.
    uint256 internal constant NORM2_MIN = 2_002_577;
    uint256 internal constant NORM2_MAX = 2_126_447;
    uint256 private constant HUNDREDTHS2 = 10_000; // influenceSigma is in hundredths; squared

    error BadDimension(uint256 length);

    /// The inner product of two features, about 12 gas a coordinate.
    ///
    /// Eight coordinates, every fourth byte, are at once the digits of a number in base 2^32: in X = sum a_j 2^32j times
    /// Y = sum b_(7-j) 2^32j, mod 2^256, the highest digit is sum a_j b_j. Bytes are biased by 128 to be cut out of a word
    /// and then lose the bias as digits (`sub`), which makes them signed; Y is a word with its eight digits reversed. All
    /// products are added up, and only the sum is read: a digit is at most 8 * 256 * 2^14 = 2^25 in size, so adding 2^31 to
    /// each of the seven below keeps the highest clear of what they borrow.
    function dot(bytes calldata a, bytes calldata b) internal pure returns (int256 product) {
        if (a.length != DIMENSION || b.length != DIMENSION) {
            revert BadDimension(a.length == DIMENSION ? b.length : a.length);
        }
        assembly ("memory-safe") {
            // In variables: as literals the optimizer would compute them anew, for smaller code, at every use.
            let biases := 0x8080808080808080808080808080808080808080808080808080808080808080
            let digits := 0x000000ff000000ff000000ff000000ff000000ff000000ff000000ff000000ff
            let bias := 0x0000008000000080000000800000008000000080000000800000008000000080
            let fours := 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff
            let eights := 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff
            let sum := 0x0000000080000000800000008000000080000000800000008000000080000000
            let p := a.offset
            let shift := sub(b.offset, p)
            let end := add(p, 2048)
            for {} lt(p, end) {} {
                let v := xor(calldataload(add(p, shift)), biases)
                v := or(shr(128, v), shl(128, v))
                v := or(and(shr(64, v), eights), shl(64, and(v, eights)))
                v := or(and(shr(32, v), fours), shl(32, and(v, fours)))
                let u := xor(calldataload(p), biases)
                sum := add(
                    mul(sub(and(shr(24, u), digits), bias), sub(and(shr(24, v), digits), bias)),
                    add(
                        mul(sub(and(shr(16, u), digits), bias), sub(and(shr(16, v), digits), bias)),
                        add(
                            mul(sub(and(shr(8, u), digits), bias), sub(and(shr(8, v), digits), bias)),
                            add(mul(sub(and(u, digits), bias), sub(and(v, digits), bias)), sum)
                        )
                    )
                )
                p := add(p, 32)
            }
            product := sar(224, sum)
        }
    }

    /// The square of a feature's length.
    function norm2(bytes calldata feature) internal pure returns (uint256) {
        return uint256(dot(feature, feature));
    }

    /// Whether these bytes may be a feature: of the one length that all have, or nothing at all.
    function wellFormed(bytes calldata feature) internal pure returns (bool) {
        if (feature.length != DIMENSION) return false;
        uint256 size = norm2(feature);
        return size == 0 || (size >= NORM2_MIN && size <= NORM2_MAX);
    }

    /// Whether a score stands out of the sketch's noise by `sigma` hundredths of its deviation. Nothing overflows: a
    /// product or square of features is below 2^26, sigma below 2^16.
    function credited(int256 score, uint256 norm2Phi, uint256 norm2Psi, uint256 sigma) internal pure returns (bool) {
        if (score <= 0) return false;
        unchecked {
            uint256 s = uint256(score);
            return DIMENSION * s * s * HUNDREDTHS2 > sigma * sigma * norm2Phi * norm2Psi;
        }
    }

    /// Whether two examples, by their inner product, are as good as one.
    function near(int256 product, uint256 norm2I, uint256 norm2J, uint256 duplicateBps) internal pure returns (bool) {
        if (product <= 0) return false;
        unchecked {
            uint256 s = uint256(product);
            return s * s * BPS * BPS >= duplicateBps * duplicateBps * norm2I * norm2J;
        }
    }
}
