// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {FeatureOpening} from "./Batches.sol";
import {Merkle} from "./Merkle.sol";

/// One example of a feature set: row j is the j-th document of the adapter's corpus. 2096 bytes big-endian, of which the
/// last 2048 are the feature. Twin of `FeatureRow` in `protocol/features.py`.
struct FeatureRow {
    uint32 shard;
    uint32 document;
    uint32 contributor;
    uint32 duplicateOf; // the first earlier row that is near it, or NONE
    bytes32 contentRoot; // the document's
}

library FeatureRows {
    error BadFeatureOpening(uint32 index);

    /// The row and its feature, if it is row `o.index` of the `count` rows under `root`; reverts otherwise.
    function open(bytes32 root, uint32 count, FeatureOpening calldata o)
        internal
        view
        returns (FeatureRow memory row, bytes calldata phi)
    {
        uint256 size = uint256(count) * Merkle.FEATURE_LEAF;
        if (!Merkle.opensBody(root, size, Merkle.FEATURE, Merkle.FEATURE_LEAF, o.row, o.index, o.proof)) {
            revert BadFeatureOpening(o.index);
        }
        row.shard = uint32(bytes4(o.row[0:4]));
        row.document = uint32(bytes4(o.row[4:8]));
        row.contributor = uint32(bytes4(o.row[8:12]));
        row.duplicateOf = uint32(bytes4(o.row[12:16]));
        row.contentRoot = bytes32(o.row[16:48]);
        phi = o.row[48:];
    }
}
