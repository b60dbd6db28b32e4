// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// Of the model registry, what a refutation needs.
interface ICorpora {
    /// The adapter's corpus: shards [0, shardCount) of the Datanet, all final; no shards for an unknown adapter.
    function corpusOf(bytes32 adapter) external view returns (uint32 datanet, uint32 shardCount);
}
