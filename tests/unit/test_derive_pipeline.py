"""The pipeline as a whole, on worlds made by hand."""

from tests.derive_world import (
    Node,
    Sequencer,
    channel,
    l1_child,
    l1_genesis,
    l2_transaction,
    make_config,
    post,
)


def test_a_span_batch_gives_the_sequencers_chain() -> None:
    """Three blocks in one channel, the last one concludes the span."""
    config = make_config()
    l1 = [l1_genesis()]
    truth = Sequencer(config)
    for nonce in range(3):
        truth.build(l1[0], [l2_transaction(nonce)])
    l1.append(l1_child(l1[0], transactions=[post(*channel([truth.span(1, 3)], b"a"))]))

    node = Node(config, l1)

    assert node.run() == [block.ref for block in truth.blocks]
    assert [each.concluding for each in node.derived] == [False, False, True]
