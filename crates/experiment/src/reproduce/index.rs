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
                header: ["claim", "published", "measured", "holds"].map(String::from).to_vec(),
                rows: claims.iter().map(row).collect(),
            },
            Block::Paragraph(
                "A published value holds where ours is within a tenth of it; \u{2013} where the paper gives none, or one \
                 of other sizes, or the measurement does not decide."
                    .into(),
            ),
        ];
        blocks.splice(..0, opening);
        Page { blocks, claims, results }
    }
}

/// A row of the table of claims.
fn row(claim: &Claim) -> Vec<String> {
    let Claim { what, published, measured, .. } = claim;
    vec![what.clone(), published.clone(), measured.clone(), claim.verdict().into()]
}

/// How many of the claims hold, of those that are decided.
fn holding(claims: &[Claim]) -> String {
    let decided: Vec<bool> = claims.iter().filter_map(|claim| claim.holds).collect();
    match decided.len() {
        0 => "\u{2013}".into(),
        count => format!("{} of {count}", decided.into_iter().filter(|holds| *holds).count()),
    }
}

/// One page about all that was reproduced.
pub(super) fn article(each: Vec<(Target, Reproduced)>) -> Page {
    let summary = each.iter().map(|(target, done)| {
        let name = target.title().split(':').next().unwrap_or_default().to_string();
        vec![name, target.statement().into(), done.finding.clone(), holding(&done.claims)]
    });
    let mut blocks = vec![
        Block::Paragraph(
            "Chen, Huang, Nguyen and Weng (NeurIPS 2021) claim that a wide network trained by subgradient descent on a \
             regularised loss is a kernel machine with the tangent kernel: with the hinge loss, a support vector \
             machine. This page goes through their figures and tables. In short:"
                .into(),
        ),
        Block::Table {
            header: ["", "the paper", "measured here", "claims that hold"].map(String::from).to_vec(),
            rows: summary.collect(),
        },
        Block::Paragraph(
            "Five things in the paper and its published code have a part in where they differ. The paper's regulariser holds the last layer to the origin, which \
             moves the output by \u{3bb}/m only: what the theorem describes is a network held to its initial weights. The \
             published machine decays the coefficients of a batch alone, which is a machine of another \u{3bb}: the \
             mean form's times 64, the size of a batch, instead of times the number of samples. The published bound of the risk may fail with a probability of 0.99. Interval bounds of \
             networks were taken of f minus the number f_0(x), not of the function f minus f_0. And bounds that go term by \
             term give something away at every support vector, or at every neuron."
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
