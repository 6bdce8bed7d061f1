"""What lies where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwd.segment import layout
from gwd.segment.layout import Layout, Sizes

SIZES = st.builds(
    Sizes,
    max_workers=st.integers(1, 512),
    max_ips=st.integers(1, 1 << 24),
    max_endpoints=st.integers(1, 1 << 16),
    max_routes=st.integers(1, 1 << 16),
)


@given(SIZES)
def test_sections_follow_each_other_on_cache_lines_and_nothing_overlaps(sizes: Sizes):
    places = Layout(sizes)
    end = 0
    for section in places.sections:
        assert section.start % layout.LINE == 0
        assert end <= section.start < end + layout.LINE
        end = section.end
    assert places.words == end


@given(SIZES)
def test_three_generations_of_all_roles_have_columns(sizes: Sizes):
    places = Layout(sizes)
    assert sizes.columns == 3 * sizes.max_workers + 3
    assert places.live.rows * 64 >= sizes.columns
    assert places.address_cells.rows * layout.GROUP >= sizes.columns * places.addresses.rows


@given(SIZES)
def test_there_is_a_row_for_every_address_and_a_shared_one_per_bucket(sizes: Sizes):
    places = Layout(sizes)
    assert sizes.max_ips <= places.shared_rows < sizes.max_ips + layout.WAYS
    assert places.addresses.rows == places.shared_rows + sizes.buckets


def test_every_section_says_who_writes_it():
    for section in Layout(Sizes(1, 1, 1, 1)).sections:
        assert section.name
        assert section.writer


@pytest.mark.parametrize("name", [b"", bytes(249)])
def test_a_name_that_does_not_fit_whole_is_refused(name: bytes):
    with pytest.raises(ValueError, match="1 to 248"):
        layout.check_name(name)
    layout.check_name(b"x" * 248)
