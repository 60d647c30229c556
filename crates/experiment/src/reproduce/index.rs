//! The page that reads as an article.

use serde_json::Value;

use super::{Claim, Reproduced, Target};
use crate::report::Block;

/// One page about all that was reproduced.
pub(super) fn page(each: Vec<(Target, Reproduced)>) -> Reproduced {
    let mut blocks = vec![Block::Paragraph(
        "Chen, Huang, Nguyen and Weng (NeurIPS 2021) claim that a wide network trained by subgradient descent on a \
         regularised loss is a kernel machine with the tangent kernel: with the hinge loss, a support vector machine. \
         Each section states what the paper claims and what was measured; the table above has all of it. Pages with \
         everything that was measured lie in the folders beside this one."
            .into(),
    )];
    let (mut claims, mut results) = (Vec::new(), serde_json::Map::new());
    for (target, done) in each {
        blocks.push(Block::Heading(target.title().into()));
        blocks.extend(done.blocks);
        blocks.push(Block::Table {
            header: ["claim", "published", "measured"].map(String::from).to_vec(),
            rows: done.claims.iter().map(|claim| claim.row().to_vec()).collect(),
        });
        claims.extend(
            done.claims.into_iter().map(|claim| Claim { what: format!("{}: {}", target.name(), claim.what), ..claim }),
        );
        results.insert(target.name().into(), done.results);
    }
    Reproduced { blocks, claims, results: Value::Object(results) }
}
