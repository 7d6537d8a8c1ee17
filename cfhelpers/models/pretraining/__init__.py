"""How the bundled models were made: ``python -m cfhelpers pretrain``."""
