"""What a machine can do for the throughput lane: allocators, processors, sockets, compression, requests, producers."""
