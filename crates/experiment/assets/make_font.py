"""Makes DejaVuSans-subset.ttf from DejaVu Sans 2.37. Needs fonttools 4.

    python3 make_font.py /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf DejaVuSans-subset.ttf
"""

import sys

from fontTools.subset import Options, Subsetter, parse_unicodes
from fontTools.ttLib import TTFont
from fontTools.ttLib.tables.ttProgram import Program

# Latin, Greek, punctuation, superscripts, some blackboard letters, arrows, mathematics, a few shapes and marks.
KEEP = """20-7E A0-17F 370-3FF 2010-2027 2030-2044 2070-209C 2102 210D 2113 2115 211D 2124 2190-2199 21A6 21D0-21D5
2200-222B 2234-2237 223C-2249 2260-226B 2295-2299 22C5-22C6 25A0-25A1 25B2 25BC 25C6 25CF 2713 2717"""

source, target = sys.argv[1:]
font = TTFont(source, recalcTimestamp=False)
options = Options(hinting=False, legacy_kern=True, layout_features=[])
options.drop_tables += ["GPOS", "GSUB", "GDEF", "FFTM", "MATH"]
subsetter = Subsetter(options)
subsetter.populate(unicodes=parse_unicodes(",".join(KEEP.split())))
subsetter.subset(font)

# plotters' pixel text puts the left edge of a glyph's bounding box where the glyph's origin belongs, which makes the
# letters touch. A stroke without width on the origin makes the box begin there.
glyphs = font["glyf"]
for name in font.getGlyphOrder():
    glyph = glyphs[name]
    if glyph.isComposite():
        coordinates, ends, flags = glyph.getCoordinates(glyphs)
        glyph.numberOfContours = len(ends)
        glyph.coordinates, glyph.endPtsOfContours, glyph.flags = coordinates, list(ends), flags
        glyph.program = Program()
        glyph.program.fromBytecode(b"")
        del glyph.components
    if glyph.numberOfContours > 0:
        glyph.recalcBounds(glyphs)
        if glyph.xMin > 0:
            glyph.coordinates.extend([(0, glyph.yMin), (0, glyph.yMax)])
            glyph.flags.extend([1, 1])
            glyph.endPtsOfContours.append(len(glyph.coordinates) - 1)
            glyph.numberOfContours += 1
            glyph.recalcBounds(glyphs)

font.save(target)
