// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Answer, Claim, Influence} from "./Batches.sol";
import {Merkle} from "./Merkle.sol";

/// Packed fields to structs, and to the hashes of their leaves: H(00 | kind | one word for each field). Twins of `packed`
/// in `protocol/words.py`. Every field is as wide as its type, so there is nothing that the ABI decoder would refuse.
library Leaves {
    uint256 internal constant ANSWER_PACKED = 465; // bytes
    uint256 internal constant CLAIM_PACKED = 152;
    uint256 internal constant INFLUENCE_PACKED = 48;
    uint256 internal constant ANSWER_WORDS = 29;
    uint256 internal constant CLAIM_WORDS = 31;
    uint256 internal constant INFLUENCE_WORDS = 7;

    error BadPacking(uint256 have, uint256 want);

    // Each fills the struct that it is given (one that is returned is made of zeros first, at every return) and hashes its
    // leaf: the words behind one that ends with 00 | kind. Nested structs are left there, and pointed to.

    function answer(bytes calldata packed, Answer memory a) internal pure returns (bytes32 leaf) {
        _require(packed, ANSWER_PACKED);
        uint8 kind = Merkle.ANSWER;
        assembly ("memory-safe") {
            let m := mload(0x40)
            let q := packed.offset
            mstore(m, kind)
            mstore(add(m, 32), calldataload(q))
            mstore(add(m, 64), calldataload(add(q, 32)))
            mstore(add(m, 96), calldataload(add(q, 64)))
            mstore(add(m, 128), calldataload(add(q, 96)))
            mstore(add(m, 160), calldataload(add(q, 128)))
            mstore(add(m, 192), shr(224, calldataload(add(q, 160))))
            mstore(add(m, 224), calldataload(add(q, 164)))
            mstore(add(m, 256), shr(224, calldataload(add(q, 196))))
            mstore(add(m, 288), calldataload(add(q, 200)))
            mstore(add(m, 320), shr(224, calldataload(add(q, 232))))
            mstore(add(m, 352), shr(224, calldataload(add(q, 236))))
            mstore(add(m, 384), shr(128, calldataload(add(q, 240))))
            mstore(add(m, 416), shr(128, calldataload(add(q, 256))))
            mstore(add(m, 448), shr(192, calldataload(add(q, 272))))
            mstore(add(m, 480), shr(248, calldataload(add(q, 280))))
            mstore(add(m, 512), shr(192, calldataload(add(q, 281))))
            mstore(add(m, 544), shr(192, calldataload(add(q, 289))))
            mstore(add(m, 576), shr(96, calldataload(add(q, 297))))
            mstore(add(m, 608), shr(96, calldataload(add(q, 317))))
            mstore(add(m, 640), calldataload(add(q, 337)))
            mstore(add(m, 672), calldataload(add(q, 369)))
            mstore(add(m, 704), shr(224, calldataload(add(q, 401))))
            mstore(add(m, 736), shr(224, calldataload(add(q, 405))))
            mstore(add(m, 768), shr(224, calldataload(add(q, 409))))
            mstore(add(m, 800), shr(224, calldataload(add(q, 413))))
            mstore(add(m, 832), shr(224, calldataload(add(q, 417))))
            mstore(add(m, 864), shr(224, calldataload(add(q, 421))))
            mstore(add(m, 896), shr(192, calldataload(add(q, 425))))
            mstore(add(m, 928), calldataload(add(q, 433)))
            mstore(0x40, add(m, 960))
            leaf := keccak256(add(m, 30), 930)
            mstore(a, add(m, 32)) // the receipt
            mcopy(add(a, 32), add(m, 640), 320)
        }
    }

    function claim(bytes calldata packed, Claim memory c) internal pure returns (bytes32 leaf) {
        _require(packed, CLAIM_PACKED);
        uint8 kind = Merkle.CLAIM;
        assembly ("memory-safe") {
            let m := mload(0x40)
            let q := packed.offset
            mstore(m, kind)
            mstore(add(m, 32), shr(224, calldataload(q)))
            mstore(add(m, 64), shr(224, calldataload(add(q, 4))))
            mstore(add(m, 96), shr(224, calldataload(add(q, 8))))
            mstore(add(m, 128), shr(224, calldataload(add(q, 12))))
            mstore(add(m, 160), shr(224, calldataload(add(q, 16))))
            mstore(add(m, 192), shr(224, calldataload(add(q, 20))))
            mstore(add(m, 224), shr(224, calldataload(add(q, 24))))
            mstore(add(m, 256), shr(224, calldataload(add(q, 28))))
            mstore(add(m, 288), shr(224, calldataload(add(q, 32))))
            mstore(add(m, 320), shr(224, calldataload(add(q, 36))))
            mstore(add(m, 352), shr(192, calldataload(add(q, 40))))
            mstore(add(m, 384), shr(224, calldataload(add(q, 48))))
            mstore(add(m, 416), shr(224, calldataload(add(q, 52))))
            mstore(add(m, 448), shr(224, calldataload(add(q, 56))))
            mstore(add(m, 480), shr(224, calldataload(add(q, 60))))
            mstore(add(m, 512), shr(192, calldataload(add(q, 64))))
            mstore(add(m, 544), shr(224, calldataload(add(q, 72))))
            mstore(add(m, 576), shr(224, calldataload(add(q, 76))))
            mstore(add(m, 608), shr(224, calldataload(add(q, 80))))
            mstore(add(m, 640), shr(224, calldataload(add(q, 84))))
            mstore(add(m, 672), shr(192, calldataload(add(q, 88))))
            mstore(add(m, 704), shr(224, calldataload(add(q, 96))))
            mstore(add(m, 736), shr(224, calldataload(add(q, 100))))
            mstore(add(m, 768), shr(224, calldataload(add(q, 104))))
            mstore(add(m, 800), shr(224, calldataload(add(q, 108))))
            mstore(add(m, 832), shr(192, calldataload(add(q, 112))))
            mstore(add(m, 864), shr(224, calldataload(add(q, 120))))
            mstore(add(m, 896), shr(224, calldataload(add(q, 124))))
            mstore(add(m, 928), shr(224, calldataload(add(q, 128))))
            mstore(add(m, 960), shr(224, calldataload(add(q, 132))))
            mstore(add(m, 992), shr(128, calldataload(add(q, 136))))
            mstore(0x40, add(m, 1024))
            leaf := keccak256(add(m, 30), 994)
            mcopy(c, add(m, 32), 288)
            let who := mload(add(c, 288))
            for { let i := 0 } lt(i, 4) { i := add(i, 1) } { mstore(add(who, shl(5, i)), add(m, add(320, mul(i, 160)))) }
            mcopy(add(c, 320), add(m, 960), 64)
        }
    }

    function influence(bytes calldata packed, Influence memory i) internal pure returns (bytes32 leaf) {
        _require(packed, INFLUENCE_PACKED);
        uint8 kind = Merkle.INFLUENCE;
        assembly ("memory-safe") {
            let m := mload(0x40)
            let q := packed.offset
            mstore(m, kind)
            mstore(add(m, 32), shr(224, calldataload(q)))
            mstore(add(m, 64), shr(224, calldataload(add(q, 4))))
            mstore(add(m, 96), shr(224, calldataload(add(q, 8))))
            mstore(add(m, 128), shr(224, calldataload(add(q, 12))))
            mstore(add(m, 160), shr(192, calldataload(add(q, 16))))
            mstore(add(m, 192), shr(192, calldataload(add(q, 24))))
            mstore(add(m, 224), shr(128, calldataload(add(q, 32))))
            mstore(0x40, add(m, 256))
            leaf := keccak256(add(m, 30), 226)
            mcopy(i, add(m, 32), 224)
        }
    }

    function _require(bytes calldata packed, uint256 want) private pure {
        if (packed.length != want) revert BadPacking(packed.length, want);
    }
}
