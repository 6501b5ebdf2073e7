//! Character sets and Unicode properties of ECMA-262.

pub(super) const CHAR_MAX: u32 = 0x10_FFFF;
/// `\s`: white space and line terminators.
pub(super) const SPACES: [(u32, u32); 10] = [
    (0x09, 0x0D),
    (0x20, 0x20),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
    (0xFEFF, 0xFEFF),
];
pub(super) const DIGITS: [(u32, u32); 1] = [(0x30, 0x39)];
pub(super) const WORDS: [(u32, u32); 4] = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)];
/// Characters that `.` does not match.
pub(super) const LINE_ENDS: [(u32, u32); 3] = [(0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)];
/// Values of `General_Category`, which may stand without its name.
pub(super) const CATEGORIES: &str = "\
    C Cc Cf Cn Co Cs L LC Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm \
    So Z Zl Zp Zs Cased_Letter Close_Punctuation Connector_Punctuation Control Currency_Symbol \
    Dash_Punctuation Decimal_Number Enclosing_Mark Final_Punctuation Format Initial_Punctuation \
    Letter Letter_Number Line_Separator Lowercase_Letter Mark Math_Symbol Modifier_Letter \
    Modifier_Symbol Nonspacing_Mark Number Open_Punctuation Other Other_Letter Other_Number \
    Other_Punctuation Other_Symbol Paragraph_Separator Private_Use Punctuation Separator \
    Space_Separator Spacing_Mark Surrogate Symbol Titlecase_Letter Unassigned Uppercase_Letter \
    cntrl digit punct Combining_Mark";
/// Binary properties.
pub(super) const PROPERTIES: &str = "\
    ASCII ASCII_Hex_Digit AHex Alphabetic Alpha Any Assigned Bidi_Control Bidi_C Bidi_Mirrored \
    Bidi_M Case_Ignorable CI Cased Changes_When_Casefolded CWCF Changes_When_Casemapped CWCM \
    Changes_When_Lowercased CWL Changes_When_NFKC_Casefolded CWKCF Changes_When_Titlecased CWT \
    Changes_When_Uppercased CWU Dash Default_Ignorable_Code_Point DI Deprecated Dep Diacritic \
    Dia Emoji Emoji_Component EComp Emoji_Modifier EMod Emoji_Modifier_Base EBase \
    Emoji_Presentation EPres Extended_Pictographic ExtPict Extender Ext Grapheme_Base Gr_Base \
    Grapheme_Extend Gr_Ext Hex_Digit Hex IDS_Binary_Operator IDSB IDS_Trinary_Operator IDST \
    ID_Continue IDC ID_Start IDS Ideographic Ideo Join_Control Join_C Logical_Order_Exception \
    LOE Lowercase Lower Math Noncharacter_Code_Point NChar Pattern_Syntax Pat_Syn \
    Pattern_White_Space Pat_WS Quotation_Mark QMark Radical Regional_Indicator RI \
    Sentence_Terminal STerm Soft_Dotted SD Terminal_Punctuation Term Unified_Ideograph UIdeo \
    Uppercase Upper Variation_Selector VS White_Space space XID_Continue XIDC XID_Start XIDS";

pub(super) fn is_surrogate(code: u32) -> bool {
    (0xD800..0xE000).contains(&code)
}

/// Ranges of characters: first and last.
pub(super) type Ranges = Vec<(u32, u32)>;

/// The complement of a set. The ranges are in order.
pub(super) fn complement(set: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut rest = Vec::new();
    let mut from = 0;
    for (first, last) in set {
        if *first > from {
            rest.push((from, first - 1));
        }
        from = last + 1;
    }
    rest.push((from, CHAR_MAX));
    rest
}
