"""Tiny models, built here and trained in seconds; nothing is fetched."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from data.dataset import schema_config
from data.encoder import build_tokenizer
from data.formats import from_markup
from data.hub import export
from data.schema import Document
from data.training import Recipe, train
from model.configuration_khabar import KhabarConfig
from model.modeling_khabar import KhabarModel

ARABIC = "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىي"
torch.set_num_threads(1)  # the models are too small for more
ROOT = Path(__file__).resolve().parent.parent

settings.register_profile(
    "khabar", deadline=None, max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("khabar")

ODD = "\u064b\u0651\u0670ـ\u200c\u200d\u200e\u200f\u202b\u2067\u2069\ufeff\x00\x07\x1c\x85\u2028\xa0\u3000٠٩۴²½ﻻﷲﷺﻟ😀👩🏽▁ڤگé¨"
"""Marks, tatweel, joiners, bidi marks, controls, odd spaces and digits, presentation forms, emoji, foreign letters."""


def texts(*, max_size: int = 80) -> st.SearchStrategy[str]:
    """Texts of Arabic letters, punctuation and everything odd, and now and then of any character at all."""
    likely = st.sampled_from(ARABIC + '      \n.؟!،؛:"«»()[]-3dA' + ODD)
    character = st.one_of(likely, likely, likely, st.characters(exclude_categories=["Cs"]))
    return st.text(character, max_size=max_size)


VOCABULARY = (
    "الوزير المدينة قال أعلن وصل بعد قبل مصادر محلية القافلة الجسر الشمالي مساء شاحنات مساعدات لجنة السكان الطريق "
    "وفد هدنة اتفاق مبعوث جديد جولة محادثات غادر بلدة سهل جبل قرية منذ أسبوع عدد كبير حول داخل"
).split()


def prose(count: int, *, sentence: int = 0) -> str:
    """``count`` words of invented news, the same each time, with a dot after every ``sentence`` words."""
    parts = []
    for i in range(count):
        word = VOCABULARY[(i * i + 7 * i) % len(VOCABULARY)]
        parts.append(word + "." if sentence and i % sentence == sentence - 1 else word)
    return " ".join(parts)


MARKUP = {
    "t1": """# id: t1
# date: 2014-05-02
S1| اتهمت [1:GPE تركيا] [2:ARM تنظيم داعش] بقصف [3:LOC بلدة الراعي] في [4:LOC ريف حلب].
ACCUSE 1>2
ATTACK 2>3 ~alleged src=1
LOCATED_IN 3>4
S2| ونفى [5:ARM التنظيم] قصف [6:LOC البلدة] [7:DATE أمس].
ATTACK 5>6 ~negated on=7
""",
    "t2": """# id: t2
S1| سيطرت [1:ARM قوات النظام] على [2:LOC مدينة تدمر] [3:DATE الأحد]، حسب [4:ORG المرصد].
CONTROL 1>2 on=3 src=4
S2| وانسحب [5:ARM المسلحون] من [6:LOC المدينة].
WITHDRAW 5>6
""",
    "t3": """# id: t3
S1| التقى [1:ROLE وزير الخارجية الفرنسي] في [2:LOC باريس] [3:ROLE نظيره الألماني].
NEGOTIATE 1>3 at=2
S2| ودعا [4:ROLE الوزير] [5:GPE روسيا] إلى دعم [6:ORG الأمم المتحدة].
DEMAND 4>5
SUPPORT 5>6 ~planned src=4
""",
    "t4": """# id: t4
S1| قتل [1:NUM سبعة] [2:GRP مدنيين] في [3:WPN غارات] شنها [4:ARM التحالف] على [5:LOC صعدة].
ATTACK 4>5 with=3
KILL 4>2 at=5 with=3
S2| وتظاهر [6:GRP مئات السكان] ضد [7:ARM التحالف].
PROTEST 6>7
""",
    "t5": """# id: t5
S1| اعتقلت [1:ARM الشرطة التونسية] [2:PER سالم العياري] ب[3:LOC القصرين].
DETAIN 1>2 at=3
S2| وأدان [4:ORG حزب النهضة] [5:ARM الشرطة].
CONDEMN 4>5
""",
    "t6": """# id: t6
S1| هدد [1:ROLE قائد] [2:ARM الحرس الثوري] [3:GPE إسرائيل] بالرد.
MEMBER_OF 1>2
THREATEN 1>3
S2| وفرضت [4:GPE واشنطن] عقوبات على [5:GPE إيران].
RESTRICT 4>5
""",
    "t7": """# id: t7
S1| تقدمت [1:ARM البيشمركة] نحو [2:LOC سنجار] بدعم من [3:ARM التحالف الدولي].
ADVANCE 1>2
SUPPORT 3>1
S2| وقالت [4:ORG الأمم المتحدة] ل[5:ORG لحكومة] إن الوضع صعب.
""",
    "t8": """# id: t8
S1| فاز المنتخب على ضيفه في مباراة هادئة، ولم يقع أي حادث في [1:LOC الملعب].
S2| وقالت [2:ORG الوزارة] في [3:GPE ليبيا] إنها ستدعم [4:ORG الاتحاد].
LOCATED_IN 2>3
SUPPORT 2>4 ~planned
""",
}


@pytest.fixture(scope="session")
def documents() -> list[Document]:
    """Eight small annotated documents."""
    return [from_markup(text) for text in MARKUP.values()]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of single characters, with and without a space before them."""
    letters = ARABIC + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?؟،؛\"'()-/"
    pieces = [*((c, -2.0) for c in letters), *((f"▁{c}", -1.0) for c in letters), ("▁", -3.0)]
    return build_tokenizer([*((s, 0.0) for s in ("<s>", "<pad>", "</s>", "<unk>")), *pieces, ("<mask>", 0.0)])


def tiny_encoder(tokenizer: PreTrainedTokenizerFast, *, hidden: int = 64, seed: int = 3) -> BertModel:
    torch.manual_seed(seed)
    return BertModel(
        BertConfig(
            vocab_size=len(tokenizer), hidden_size=hidden, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=2 * hidden, max_position_embeddings=512, pad_token_id=1, attention_probs_dropout_prob=0.0,
        ),
        add_pooling_layer=False,
    )  # fmt: skip


def tiny_model(tokenizer: PreTrainedTokenizerFast, *, window: int = 128, seed: int = 3, **settings: object) -> KhabarModel:
    """A model with random weights; ``settings`` replace the schema's."""
    encoder = tiny_encoder(tokenizer, seed=seed)
    config = {**schema_config(), "window": window, "mention_size": 64, "dropout": 0.0, **settings}
    torch.manual_seed(seed)
    model = KhabarModel(KhabarConfig(encoder=encoder.config.to_dict(), **config))
    model.encoder.load_state_dict(encoder.state_dict(), strict=False)
    return model.eval()


@pytest.fixture(scope="session")
def encoder_folder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder as ``prepare_encoder.py`` leaves it."""
    folder = tmp_path_factory.mktemp("encoder")
    tiny_encoder(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def loud(tokenizer: PreTrainedTokenizerFast) -> KhabarModel:
    """A random model that finds many mentions and relations: large tag weights, low thresholds."""
    model = tiny_model(tokenizer, thresholds={"default": 0.0001})
    with torch.no_grad():
        model.tagger.weight.mul_(40)
        model.tagger.bias[0] = -1.0
        model.pairs.relation.weight.mul_(40)
        model.pairs.relation.bias.fill_(-2.0)
    return model


# A trained model, and the scripts in this process -----------------------------------------------------------------------

OVERFITTED = Recipe(
    epochs=70, batch_size=2, encoder_learning_rate=1e-3, head_learning_rate=2e-3, evaluate_from=69, dropout=0.0
)  # fmt: skip


@pytest.fixture(scope="session")
def run_model(
    documents: list[Document], tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> KhabarModel:
    """A tiny model trained on the eight documents until it knows them by heart; do not change it."""
    model = tiny_model(tokenizer, window=512)
    return train(documents, documents, model, tokenizer, OVERFITTED, checkpoints=tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="session")
def run_folder(run_model: KhabarModel, tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the training of ``run_model`` leaves; do not change it."""
    folder = tmp_path_factory.mktemp("run")
    export(run_model, tokenizer, folder, run={"base_model": "tiny", "seed": OVERFITTED.seed})
    return folder


@pytest.fixture
def own_run(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of ``run_folder`` that a test may change."""
    return Path(shutil.copytree(run_folder, tmp_path / "own_run"))


@pytest.fixture(scope="session")
def gold_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The eight documents as a folder of markup."""
    folder = tmp_path_factory.mktemp("gold")
    for name, text in MARKUP.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Ran:
    """What a script did; ``err`` holds what it logged too."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Callable[..., Ran]:
    """Calls the ``main`` of a script with a command line."""
    caplog.set_level(logging.INFO)

    def run(main: Callable[[], int], *arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", [main.__module__, *map(str, arguments)])
        capsys.readouterr()
        caplog.clear()
        code = main()
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err + "\n".join(record.getMessage() for record in caplog.records))

    return run
