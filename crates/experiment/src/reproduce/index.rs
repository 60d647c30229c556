//! The page that reads as an article.

use serde_json::Value;

use super::{Claim, Page, Reproduced, Target};
use crate::report::Block;

impl Reproduced {
    /// A target's own page: what the paper says, what was found, every claim with its numbers, and the rest.
    pub(super) fn into_page(self, target: Target) -> Page {
        let Self { finding, mut blocks, claims, results } = self;
        let opening = [
            Block::KeyValues(vec![("the paper".into(), target.statement().into()), ("measured here".into(), finding)]),
            Block::Table {
                header: ["claim", "published", "measured"].map(String::from).to_vec(),
                rows: claims.iter().map(|claim| claim.row().to_vec()).collect(),
            },
        ];
        blocks.splice(..0, opening);
        Page { blocks, claims, results }
    }
}

/// One page about all that was reproduced.
pub(super) fn article(each: Vec<(Target, Reproduced)>) -> Page {
    let summary = each.iter().map(|(target, done)| {
        let name = target.title().split(':').next().unwrap_or_default().to_string();
        vec![name, target.statement().into(), done.finding.clone()]
    });
    let mut blocks = vec![
        Block::Paragraph(
            "Chen, Huang, Nguyen and Weng (NeurIPS 2021) claim that a wide network trained by subgradient descent on a \
             regularised loss is a kernel machine with the tangent kernel: with the hinge loss, a support vector \
             machine. This page goes through their figures and tables. In short:"
                .into(),
        ),
        Block::Table {
            header: ["", "the paper", "measured here"].map(String::from).to_vec(),
            rows: summary.collect(),
        },
        Block::Paragraph(
            "Where both differ, there are five reasons. The paper's regulariser holds the last layer to the origin, which \
             moves the output by \u{3bb}/m only: what the theorem describes is a network held to its initial weights. The \
             published machine decays the coefficients of a batch alone, which is a machine of another \u{3bb}, 0.064 \
             instead of 12.7. The published bound of the risk may fail with a probability of 0.99. Interval bounds of \
             networks were taken of f minus the number f_0(x), not of the function f minus f_0. And bounds that go term by \
             term are loose, the more so the larger the sum of |\u{3b1}| or the width."
                .into(),
        ),
    ];
    let (mut claims, mut results) = (Vec::new(), serde_json::Map::new());
    for (target, done) in each {
        blocks.push(Block::Heading(target.title().into()));
        let done = done.into_page(target);
        blocks.extend(done.blocks);
        claims.extend(
            done.claims.into_iter().map(|claim| Claim { what: format!("{}: {}", target.name(), claim.what), ..claim }),
        );
        results.insert(target.name().into(), done.results);
    }
    Page { blocks, claims, results: Value::Object(results) }
}
