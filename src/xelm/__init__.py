"""Train a multilingual language model as a team of independent experts.

Importing it makes transformers know bundles: `AutoModelForCausalLM.from_pretrained(bundle)`.
"""

from xelm.ensemble.registration import install as _install

__version__ = "0.1.0"

_install()
