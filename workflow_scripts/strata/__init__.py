"""Which layers does a fine-tuned Transformer encoder still need?

Plain Python, no import of Snakemake. Data flows one way: descriptions (``config``, ``variants``,
``architectures``), then ``tasks`` and ``models``, then runs (``training``), ``activations``,
tables (``similarity``, ``truncation``, ``skipping``, ``summary``), and last ``export`` and
``figures``.
"""
