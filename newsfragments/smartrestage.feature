SmartRE's second stage: `--second-stage` compresses what is left of each packet with zstd, `--dictionary` with a trained dictionary.
