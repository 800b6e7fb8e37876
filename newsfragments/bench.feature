`openmb bench` measures the engine, moves of many flows between real processes under load, and what a get costs the packets; figures are in docs/performance.md.
