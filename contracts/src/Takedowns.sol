// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {DocumentOpening, Status} from "./Batches.sol";
import {DatanetRegistry} from "./DatanetRegistry.sol";
import {Document, Documents} from "./Documents.sol";
import {RewardPool} from "./RewardPool.sol";

/// Documents that may not be credited any more, by the word of their contributor or of the Datanet's curator. The shard
/// stays as it was committed; a batch is judged by what was down at its `asOf`, so nothing can become wrong afterwards.
contract Takedowns {
    DatanetRegistry public immutable DATANETS;
    RewardPool public immutable POOL;

    /// When a document was taken down, 0 for never; it never comes back.
    mapping(uint32 datanet => mapping(uint32 shard => mapping(uint32 document => uint64))) public takenDownAt;
    mapping(uint32 datanet => uint64) public firstAt; // of any document of the Datanet

    event DocumentTakenDown(uint32 indexed datanet, uint32 indexed shard, uint32 document, uint64 at);

    error NotFinal(uint32 datanet, uint32 shard);
    error NotEntitled(address who);
    error AlreadyDown(uint64 since);

    constructor(DatanetRegistry datanets, RewardPool pool) {
        DATANETS = datanets;
        POOL = pool;
    }

    function takeDown(uint32 datanet, uint32 shard, DocumentOpening calldata document) external {
        DatanetRegistry.Shard memory s = DATANETS.shardOf(datanet, shard);
        if (s.status != Status.Final) revert NotFinal(datanet, shard);
        Document memory d = Documents.open(s.documentRoot, s.documentCount, document);
        bool entitled = msg.sender == POOL.signerOf(d.contributor) || msg.sender == POOL.payoutOf(d.contributor)
            || msg.sender == DATANETS.datanetOf(datanet).curator;
        if (!entitled) revert NotEntitled(msg.sender);
        uint64 since = takenDownAt[datanet][shard][document.index];
        if (since != 0) revert AlreadyDown(since);

        since = uint64(block.timestamp);
        takenDownAt[datanet][shard][document.index] = since;
        if (firstAt[datanet] == 0) firstAt[datanet] = since;
        emit DocumentTakenDown(datanet, shard, document.index, since);
    }

    // ------------------------------------------------------------ views

    function isDown(uint32 datanet, uint32 shard, uint32 document, uint64 asOf) external view returns (bool) {
        uint64 since = takenDownAt[datanet][shard][document];
        return since != 0 && since <= asOf;
    }

    /// Whether any document of the Datanet was down.
    function anyDown(uint32 datanet, uint64 asOf) external view returns (bool) {
        uint64 since = firstAt[datanet];
        return since != 0 && since <= asOf;
    }
}
