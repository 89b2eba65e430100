//! From decoded fields to rows of the graph's inputs.

pub mod cell;
pub mod picture;
pub mod source;

use std::sync::Arc;

use tidemill_onnx::graph::Dim;
use tidemill_onnx::graph::Kind;
use tidemill_onnx::session::rows::RowPort;
use tidemill_onnx::tensor::ElementType;
use tidemill_onnx::tensor::Tensor;
use tidemill_onnx::value::Value;

use crate::adapters::models::features::cell::FromCell;
use crate::adapters::models::features::cell::with_type;
use crate::adapters::models::features::picture::Picture;
use crate::adapters::models::features::source::Source;
use crate::adapters::models::features::source::Wanted;
use crate::adapters::models::manifest::Manifest;
use crate::adapters::models::manifest::feature::Feature;
use crate::adapters::models::manifest::feature::FeatureType;
use crate::domain::batch::Batch;
use crate::domain::fields::FieldKind;
use crate::domain::fields::FieldSpec;
use crate::domain::fields::Fields;
use crate::domain::fields::Otherwise;
use crate::domain::fields::Step;
use crate::ports::ModelError;

/// Reads the text form of a path. The formats own it; here it is only passed through.
pub type ParsePath<'a> = &'a dyn Fn(&str) -> Result<Vec<Step>, String>;

/// Fields that one bundle may want: each takes eight bytes of every record in flight.
const FIELDS_MAX: usize = 16_384;

/// The plan by which a record becomes a row of every input.
#[derive(Clone, Debug)]
pub struct Features {
    inputs: Vec<Planned>,
}

/// One input of the graph.
#[derive(Clone, Debug)]
struct Planned {
    /// Shape of one row.
    shape: Vec<usize>,
    element_type: ElementType,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    /// An input that may be left out, and is.
    Absent,
    /// Elements of a row, each with the number of its title.
    Cells(Vec<(Source, u32)>, Arc<[String]>),
    Picture(Arc<Picture>, usize, String),
}

/// One record as sources see it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub batch: &'a Batch,
    pub fields: &'a Fields,
    pub record: usize,
    /// Slots of the record.
    pub row: &'a [u64],
}

/// Records that cannot become rows, with the first reason of each.
#[derive(Debug, Default)]
struct Guilty(Vec<(u32, String)>);

impl Guilty {
    #[cold]
    fn note(&mut self, record: u32, title: &str, why: &str) {
        if self.0.last().is_none_or(|(last, _)| *last != record) {
            self.0.push((record, format!("feature {title}: {why}")));
        }
    }
}

impl Features {
    /// Plans the features for the graph's inputs and says which fields they need; slots are positions in that list.
    ///
    /// # Errors
    /// All that does not fit: paths, names of inputs, types, numbers of columns.
    pub fn plan(
        manifest: &Manifest,
        ports: &[RowPort],
        parse_path: ParsePath<'_>,
    ) -> Result<(Features, Vec<FieldSpec>), Vec<String>> {
        let mut problems = vec![];
        let mut of_port: Vec<Vec<(usize, &Feature)>> = ports.iter().map(|_| vec![]).collect();
        for (i, feature) in manifest.features.iter().enumerate() {
            match port_of(manifest, feature, ports) {
                Ok(port) => of_port[port].push((i, feature)),
                Err(why) => problems.push(format!("{}: {why}", title(i, feature))),
            }
        }
        let mut wanted = Wanted::default();
        let mut inputs = vec![];
        for (port, features) in ports.iter().zip(&of_port) {
            match planned(port, features, parse_path, &mut wanted) {
                Ok(input) => inputs.push(input),
                Err(all) => problems.extend(all),
            }
        }
        if wanted.0.len() > FIELDS_MAX {
            problems.push(format!("the features want {} fields of the event, at most {FIELDS_MAX}", wanted.0.len()));
        }
        if problems.is_empty() { Ok((Features { inputs }, wanted.0)) } else { Err(problems) }
    }

    /// The same plan over a decoder that has our `i`-th field in slot `slots[i]`.
    ///
    /// # Panics
    /// If `slots` is shorter than the list of wanted fields.
    pub fn at(&self, slots: &[usize]) -> Features {
        let mut moved = self.clone();
        for input in &mut moved.inputs {
            match &mut input.content {
                Content::Absent => {}
                Content::Cells(cells, _) => cells.iter_mut().for_each(|(source, _)| *source = source.at(slots)),
                Content::Picture(_, slot, _) => *slot = slots[*slot],
            }
        }
        moved
    }

    /// Elements of a row, of all inputs.
    pub fn width(&self) -> usize {
        self.inputs.iter().map(|i| i.shape.iter().product::<usize>()).sum()
    }

    /// Bytes of a row, of all inputs; of texts their headers.
    pub fn row_bytes(&self) -> usize {
        let bytes = |i: &Planned| i.shape.iter().product::<usize>() * i.element_type.size();
        self.inputs.iter().map(bytes).sum()
    }

    /// One value for each input of the graph, with a row for each record.
    ///
    /// # Errors
    /// Names the records that cannot become rows.
    pub fn gather(&self, batch: &Batch, fields: &Fields, records: &[u32]) -> Result<Vec<Value>, ModelError> {
        let mut guilty = Guilty::default();
        let values = self.inputs.iter().map(|input| {
            let value = with_type!(input.element_type, T => input.fill::<T>(batch, fields, records, &mut guilty));
            value.map_err(|e| ModelError::new(format!("the inputs cannot be made: {e}")))
        });
        let values: Vec<Value> = values.collect::<Result<_, _>>()?;
        if guilty.0.is_empty() { Ok(values) } else { Err(ModelError::of(guilty.0)) }
    }

    /// One row as a record might make it, for a first run.
    ///
    /// # Errors
    /// If a row is larger than a tensor may be.
    pub fn neutral(&self) -> Result<Vec<Value>, String> {
        let one = |input: &Planned| with_type!(input.element_type, T => input.neutral::<T>());
        self.inputs.iter().map(one).collect()
    }
}

impl Planned {
    fn tensor<T: FromCell>(&self, rows: usize, values: Vec<T>) -> Result<Value, String> {
        let mut shape = vec![rows];
        shape.extend_from_slice(&self.shape);
        Tensor::new(&shape, values).map(Value::from).map_err(|e| e.to_string())
    }

    fn fill<T: FromCell>(
        &self,
        batch: &Batch,
        fields: &Fields,
        records: &[u32],
        guilty: &mut Guilty,
    ) -> Result<Value, String> {
        let width: usize = self.shape.iter().product();
        let mut out: Vec<T> = Vec::with_capacity(records.len() * width);
        match &self.content {
            Content::Absent => return Ok(Value::Absent),
            Content::Cells(cells, titles) => {
                for &number in records {
                    let record = number as usize;
                    let view = View { batch, fields, record, row: fields.row(record) };
                    for (source, title) in cells {
                        out.push(T::from_cell(source.read(&view)).unwrap_or_else(|why| {
                            guilty.note(number, &titles[*title as usize], why);
                            T::default()
                        }));
                    }
                }
            }
            Content::Picture(picture, slot, title) => {
                for &record in records {
                    let bytes = fields.text(batch, record as usize, *slot).unwrap_or_default();
                    let start = out.len();
                    if let Err(why) = picture.append(bytes, &mut out) {
                        guilty.note(record, title, &why);
                        out.resize(start + width, T::default());
                    }
                }
            }
        }
        self.tensor(records.len(), out)
    }

    fn neutral<T: FromCell>(&self) -> Result<Value, String> {
        let values: Vec<T> = match &self.content {
            Content::Absent => return Ok(Value::Absent),
            Content::Cells(cells, _) => {
                cells.iter().map(|(s, _)| T::from_cell(s.neutral()).unwrap_or_default()).collect()
            }
            Content::Picture(picture, ..) => picture.dark(),
        };
        self.tensor(1, values)
    }
}

fn title(i: usize, feature: &Feature) -> String {
    format!("feature {} ({})", i + 1, feature.title())
}

fn is_optional(port: &RowPort) -> bool {
    matches!(port.kind, Kind::Optional(_))
}

/// The input that a feature belongs to.
fn port_of(manifest: &Manifest, feature: &Feature, ports: &[RowPort]) -> Result<usize, String> {
    let known = || ports.iter().map(|p| format!("`{}`", p.name)).collect::<Vec<_>>().join(", ");
    match feature.input.as_ref().or(manifest.input.tensor.as_ref()) {
        Some(name) => {
            let found = ports.iter().position(|p| p.name == *name);
            found.ok_or_else(|| format!("the graph has no input `{name}`; it has {}", known()))
        }
        None => {
            let mut needed = (0..ports.len()).filter(|i| !is_optional(&ports[*i]));
            match (needed.next(), needed.next()) {
                (Some(only), None) => Ok(only),
                _ => Err(format!("the graph has the inputs {}: say which one by `input`", known())),
            }
        }
    }
}

fn planned(
    port: &RowPort,
    features: &[(usize, &Feature)],
    parse_path: ParsePath<'_>,
    wanted: &mut Wanted,
) -> Result<Planned, Vec<String>> {
    let element_type = port.element_type;
    if features.is_empty() && is_optional(port) {
        return Ok(Planned { shape: vec![], element_type, content: Content::Absent });
    }
    let at = format!("input `{}` ({})", port.name, port.kind);
    if !matches!(port.kind, Kind::Tensor { .. } | Kind::Unknown) {
        return Err(vec![format!("{at}: only tensors can be made of features")]);
    }
    if features.is_empty() {
        return Err(vec![format!("{at} has no [[feature]]")]);
    }
    let images = features.iter().filter(|(_, f)| f.kind == Some(FeatureType::Image)).count();
    if images > 0 {
        let [(i, feature)] = features else {
            return Err(vec![format!("{at}: an image is an input of its own, without other features")]);
        };
        return image(port, feature, parse_path, wanted).map_err(|why| vec![format!("{}: {why}", title(*i, feature))]);
    }
    let (mut cells, mut titles, mut problems) = (vec![], vec![], vec![]);
    for (i, feature) in features {
        match source::sources(feature, element_type, parse_path, wanted) {
            Ok(sources) => cells.extend(sources.into_iter().map(|s| (s, titles.len() as u32))),
            Err(why) => problems.push(format!("{}: {why}", title(*i, feature))),
        }
        titles.push(feature.title());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let axes = match features {
        [(_, Feature { length: Some(length), .. })] => length.axes().iter().map(|n| *n as usize).collect(),
        _ => vec![cells.len()],
    };
    let shape = row_shape(port, &axes).map_err(|why| vec![format!("{at}: {why}")])?;
    Ok(Planned { shape, element_type, content: Content::Cells(cells, titles.into()) })
}

fn image(port: &RowPort, feature: &Feature, parse_path: ParsePath<'_>, wanted: &mut Wanted) -> Result<Planned, String> {
    let spec = feature.image.as_ref().ok_or("`image` is missing")?;
    let picture = Picture::new(spec, port.element_type)?;
    let shape = row_shape(port, &picture.shape())?;
    let path = parse_path(feature.field.as_deref().unwrap_or_default())?;
    let (missing, wrong) = (Otherwise::Reject, Otherwise::Reject);
    let slot = wanted.slot(FieldSpec { path, kind: FieldKind::Bytes, missing, wrong });
    let content = Content::Picture(Arc::new(picture), slot, feature.title());
    Ok(Planned { shape, element_type: port.element_type, content })
}

/// The shape of a row of elements that come in the order of `axes`.
fn row_shape(port: &RowPort, axes: &[usize]) -> Result<Vec<usize>, String> {
    let total: usize = axes.iter().product();
    let Some(dims) = &port.shape else { return Ok(axes.to_vec()) };
    let fits = |(dim, n): (&Dim, &usize)| !matches!(dim, Dim::Fixed(d) if d != n);
    if dims.len() == axes.len() && dims.iter().zip(axes).all(fits) {
        return Ok(axes.to_vec());
    }
    let fixed: usize = dims.iter().map(|d| if let Dim::Fixed(n) = d { *n } else { 1 }).product();
    let free = dims.iter().filter(|d| !matches!(d, Dim::Fixed(_))).count();
    let shown = || dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match free {
        0 if fixed == total => {}
        1 if fixed > 0 && total.is_multiple_of(fixed) => {}
        0 | 1 => {
            return Err(format!(
                "a row is [{}], its features make {total} values; give one [[feature]] for each column, in their order",
                shown()
            ));
        }
        _ => return Err(format!("a row is [{}]; one feature with `length = [..]` must say the lengths", shown())),
    }
    Ok(dims.iter().map(|d| if let Dim::Fixed(n) = d { *n } else { total / fixed }).collect())
}
