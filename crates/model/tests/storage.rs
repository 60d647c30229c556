//! Networks on disk and back; what is not a network is refused.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ndarray::{Array2, array};
use safetensors::tensor::{Dtype, TensorView};
use widenet_model::{Architecture, ArchitectureConfig, Network, Precision, Shape, StorageError, to_host};

fn architecture(config: &str, input: Shape) -> Architecture {
    toml_edit::de::from_str::<ArchitectureConfig>(config).unwrap().build(input).unwrap()
}

fn small() -> Architecture {
    architecture("mlp = { hidden = [3], sigma_b = 0.25 }", Shape::Flat(2))
}

fn cases() -> Vec<Architecture> {
    let resnet = "resnet = { stem = 2, blocks = [{ channels = 2 }, { channels = 3, stride = 2 }], sigma_b = 0.3 }";
    vec![small(), architecture(resnet, Shape::Image([1, 4, 4]))]
}

fn moved(network: Network) -> Network {
    network.map_parameters(&mut |index, value| value * 0.9 + 0.01 * (index + 1) as f64)
}

fn parameters(network: &Network) -> Vec<Array2<f64>> {
    network.parameters().into_iter().map(|value| to_host(value.unsqueeze::<2>()).unwrap()).collect()
}

fn refused(path: &Path) -> StorageError {
    Network::load(path, &Device::flex()).expect_err("this is not a network")
}

/// A saved network, and the folder that holds it.
fn saved() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    moved(Network::init(&small(), 3, Precision::F64, &Device::flex())).save(&path).unwrap();
    (folder, path)
}

#[test]
fn a_saved_network_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network");
    for (architecture, precision) in
        cases().into_iter().flat_map(|a| [(a.clone(), Precision::F32), (a, Precision::F64)])
    {
        for device in [Device::flex(), Device::flex().autodiff()] {
            let network = moved(Network::init(&architecture, u64::MAX - 3, precision, &device));
            network.save(&path).unwrap();
            let loaded = Network::load(&path, &device).unwrap();
            assert_eq!(loaded.architecture(), &architecture);
            assert_eq!((loaded.seed(), loaded.precision()), (u64::MAX - 3, precision));
            assert_eq!(parameters(&loaded), parameters(&network));
            assert_eq!(parameters(&loaded.initial()), parameters(&network.initial()));
            let x = network.samples(Array2::from_elem((2, architecture.input().size()), 0.5).view());
            assert_eq!(
                to_host(loaded.centred(x.clone())).unwrap(),
                to_host(network.centred(x.clone())).unwrap(),
                "{architecture:?}, {precision:?}"
            );
            assert_eq!(loaded.forward(x).is_autodiff(), device.is_autodiff());
        }
    }
}

#[test]
fn a_loaded_network_goes_on_training() {
    let (_folder, path) = saved();
    let network = Network::load(&path, &Device::flex().autodiff()).unwrap();
    let x = network.samples(array![[1.0, 2.0], [-2.0, 1.0]].view());
    let gradients = network.gradients(&network.centred(x).powi_scalar(2).sum().backward());
    for gradient in gradients {
        assert!(gradient.abs().sum().into_scalar::<f64>() > 0.0);
    }
}

#[test]
fn scales_come_back_to_the_last_digit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network");
    for scale in (1..300).map(|i| f64::from(i).sqrt() / 7.0) {
        let architecture = architecture(&format!("mlp = {{ hidden = [2], sigma_w = {scale:?} }}"), Shape::Flat(2));
        Network::init(&architecture, 3, Precision::F32, &Device::flex()).save(&path).unwrap();
        assert_eq!(Network::load(&path, &Device::flex()).unwrap().architecture(), &architecture);
    }
}

#[test]
fn saving_again_replaces_the_file_by_the_same_bytes() {
    let (folder, path) = saved();
    let first = std::fs::read(&path).unwrap();
    let network = Network::load(&path, &Device::flex()).unwrap();
    for _ in 0..5 {
        network.save(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something else was left in the folder");
}

#[test]
fn the_names_and_shapes_in_the_file_are_the_documented_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network");
    let layers =
        "layers = [{ conv = { channels = 3, kernel = 2 } }, 'flatten', { dense = { units = 2, sigma_b = 1.0 } }]";
    let architecture = architecture(layers, Shape::Image([1, 3, 3]));
    Network::init(&architecture, 3, Precision::F32, &Device::flex()).save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let shape = |name: &str| file.tensor(name).unwrap_or_else(|_| panic!("{:?}", file.names())).shape().to_vec();
    assert_eq!(file.names().len(), 3);
    assert_eq!(shape("nodes.0.Conv.weight"), [3, 1, 2, 2]);
    assert_eq!(shape("nodes.2.Dense.weight"), [12, 2]);
    assert_eq!(shape("nodes.2.Dense.bias"), [2]);
}

#[test]
fn damaged_files_are_refused() {
    let (folder, path) = saved();
    let whole = std::fs::read(&path).unwrap();
    let damaged = folder.path().join("damaged");
    let refused = |bytes: &[u8]| {
        std::fs::write(&damaged, bytes).unwrap();
        let error = refused(&damaged);
        assert!(matches!(error, StorageError::Format { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("{}: not a network", damaged.display())), "{error}");
    };
    for length in 0..whole.len() {
        refused(&whole[..length]);
    }
    refused(&[whole.clone(), vec![0]].concat());
    let noise: Vec<u8> = (0..4000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for length in [1, 7, 8, 9, 100, 4000] {
        refused(&noise[..length]);
        refused(&[&[100, 0, 0, 0, 0, 0, 0, 0], &noise[..length]].concat());
    }
    // A wrong letter in the header: refused, or harmless, but never a panic.
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for place in 0..header {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        std::fs::write(&damaged, bytes).unwrap();
        let _ = Network::load(&damaged, &Device::flex());
    }
}

/// A safetensors file with these tensors of f32 zeros and this description.
fn write(path: &Path, tensors: &[(&str, &[usize])], description: Option<&str>) {
    let zeros = vec![0; 4096];
    let views = tensors.iter().map(|(name, shape)| {
        let bytes = 4 * shape.iter().product::<usize>();
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), &zeros[..bytes]).unwrap())
    });
    let metadata = description.map(|text| HashMap::from([("widenet".to_string(), text.to_string())]));
    std::fs::write(path, safetensors::serialize(views, metadata).unwrap()).unwrap();
}

#[test]
fn files_of_other_programs_and_other_networks_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let check = |tensors: &[(&str, &[usize])], description: Option<&str>, said: &str| {
        write(&path, tensors, description);
        let error = refused(&path).to_string();
        assert!(error.contains("not a network saved by widenet") && error.contains(said), "{said}: {error}");
    };
    let linear: &[(&str, &[usize])] = &[("nodes.0.Dense.weight", &[3, 1])];
    let describe = |layers: &str, precision: &str| {
        let architecture = format!(r#"{{ "input": {{ "flat": 3 }}, "layers": {layers} }}"#);
        format!(r#"{{ "architecture": {architecture}, "seed": 1, "precision": "{precision}" }}"#)
    };
    let dense = r#"[{ "dense": { "units": 1 } }]"#;
    let good = describe(dense, "f32");
    write(&path, linear, Some(&good));
    Network::load(&path, &Device::flex()).unwrap();

    check(linear, None, "no entry widenet in its metadata");
    check(linear, Some("not json"), "widenet in its metadata");
    check(linear, Some(&good.replace("seed", "sead")), "sead");
    check(linear, Some(&describe(dense, "f16")), "f16");
    check(linear, Some(&describe(r#"["flatten"]"#, "f32")), "layer 1 (flatten): needs an image");
    check(linear, Some(&describe(dense, "f64")), "\"nodes.0.Dense.weight\" is F32 in a network of f64");
    // The weights decide, before anything of the promised size is allocated.
    let huge = describe(r#"[{ "dense": { "units": 300000000000000000 } }]"#, "f32");
    check(linear, Some(&huge), "it holds 3 weights but its architecture has 900000000000000000");
    check(&[("nodes.0.Dense.weight", &[1, 3])], Some(&good), "nodes.0.Dense.weight");
    check(&[("weight", &[3, 1])], Some(&good), "nodes.0.Dense.weight");
    check(&[], Some(&good), "it holds 0 weights");
    check(&[linear[0], ("more", &[1])], Some(&good), "it holds 4 weights but its architecture has 3");
}

#[test]
fn files_that_are_not_there_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("missing"), folder.path().to_path_buf()] {
        let error = refused(&path);
        assert!(matches!(error, StorageError::Read { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn where_nothing_can_be_written_nothing_is_left() {
    let (folder, path) = saved();
    let network = Network::load(&path, &Device::flex()).unwrap();
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("file"), "here first").unwrap();
    for place in [folder.path().join("missing").join("network"), path.join("network"), taken.clone()] {
        let error = network.save(&place).expect_err("nothing can be written there");
        assert!(matches!(error, StorageError::Store(_)), "{error}");
        assert!(error.to_string().starts_with(&format!("{}: ", place.display())), "{error}");
    }
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "only the network and the folder stay");
}
