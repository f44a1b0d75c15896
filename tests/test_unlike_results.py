"""Tables and plots of many or unlike methods: what they must say, and what they must tell apart."""

import warnings

from results.figures.panels import plain
from results.style import applied, look
from results.tables import print_table
from tests.synthetic import replicates, write


def test_unequal_replicates_are_said_and_not_marked_against_each_other(tmp_path, capsys):
    write(tmp_path, replicates("cram", [0.8, 0.7, 0.6]) + replicates("er", [0.5, 0.4]))
    print_table(tmp_path)
    text = capsys.readouterr().out
    assert "Unequal replicates (cram 3, er 2; 2 are in all rows)" in text
    assert "*" not in text.partition("Protocol")[0]


def test_tasks_without_test_items_are_said(tmp_path, capsys):
    made = replicates("cram", [0.8, 0.7])
    for record in made:
        for row in record["accuracy"]:
            row[2] = None
        for row in record["counts"]:
            row[2] = None
    write(tmp_path, made)
    print_table(tmp_path)
    assert "Without test items: task 2 of 5 (counted from 0" in capsys.readouterr().out


def test_forty_methods_look_different():
    names = [f"mine_{k}" for k in range(32)] + ["cram", "er", "naive", "joint", "frozen", "no_refresh", "all_decoders"]
    rows = [(name,) for name in names] + [("cram", "codec=jpeg"), ("cram", "codec=h264")]
    looks = [look(row, rows) for row in rows]
    kinds = {(each["color"], each["marker"], each["linestyle"], each["fillstyle"]) for each in looks}
    assert len(kinds) == len(rows) == 41
    by_name = {row: (each["color"], each["marker"]) for row, each in zip(rows, looks, strict=True)}
    assert by_name[("cram",)] == by_name[("cram", "codec=jpeg")]


def test_labels_of_any_script_are_drawn_apart():
    from matplotlib.figure import Figure

    texts = [plain(text) for text in ("走る", "食べる", "бег", "τρέχω", "दौड़ना", "ريح", "$x$", "a\nb")]
    assert len(set(texts)) == len(texts)
    with applied(), warnings.catch_warnings():
        warnings.simplefilter("error")  # a glyph that is missing is a warning
        figure = Figure()
        figure.subplots().set_title("\n".join(texts))
        figure.canvas.draw()
