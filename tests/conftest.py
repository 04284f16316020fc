"""Tiny models, built here and trained in seconds; nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from data.dataset import schema_config
from data.encoder import build_tokenizer
from data.formats import from_markup
from data.schema import Document
from model.configuration_khabar import KhabarConfig
from model.modeling_khabar import KhabarModel

ARABIC = "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىي"
ROOT = Path(__file__).resolve().parent.parent

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
