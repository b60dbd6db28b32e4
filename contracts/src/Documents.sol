// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {DocumentOpening} from "./Batches.sol";
import {Merkle} from "./Merkle.sol";

/// One row of a shard's document table, 157 bytes big-endian. Twin of `protocol/datanet.py`.
struct Document {
    uint64 start; // byte of the shard's text
    uint64 length;
    uint32 contributor;
    uint64 nonce;
    bytes32 contentRoot; // text tree over the contributor's own text
    bytes32 terms;
    bytes32 r;
    bytes32 s;
    uint8 v;
}

library Documents {
    error BadDocumentOpening(uint32 index);

    /// The row, if it is row `o.index` of the table of `count` rows under `root`; reverts otherwise.
    function open(bytes32 root, uint32 count, DocumentOpening calldata o) internal view returns (Document memory) {
        uint256 size = uint256(count) * Merkle.DOCUMENT_LEAF;
        if (!Merkle.opensBody(root, size, Merkle.DOCUMENT, Merkle.DOCUMENT_LEAF, o.leaf, o.index, o.proof)) {
            revert BadDocumentOpening(o.index);
        }
        return decode(o.leaf);
    }

    function decode(bytes calldata row) internal pure returns (Document memory d) {
        d.start = uint64(bytes8(row[0:8]));
        d.length = uint64(bytes8(row[8:16]));
        d.contributor = uint32(bytes4(row[16:20]));
        d.nonce = uint64(bytes8(row[20:28]));
        d.contentRoot = bytes32(row[28:60]);
        d.terms = bytes32(row[60:92]);
        d.r = bytes32(row[92:124]);
        d.s = bytes32(row[124:156]);
        d.v = uint8(row[156]);
    }

    function end(Document memory d) internal pure returns (uint256) {
        return uint256(d.start) + d.length;
    }

    /// Whether bytes [position, position + length) of the shard's text are the document's.
    function holds(Document memory d, uint256 position, uint256 length) internal pure returns (bool) {
        return d.start <= position && position + length <= end(d);
    }
}
