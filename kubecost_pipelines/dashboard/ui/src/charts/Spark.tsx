/** Spark: a cost's daily course in the width of a table cell. */

interface Props {
  readonly values: readonly (number | undefined)[];
}

const WIDTH = 88;
const HEIGHT = 20;

export function Spark({ values }: Props) {
  const known = values.map((value) => value ?? 0);
  const most = Math.max(...known, 0);
  if (known.length < 2 || most <= 0) return <span class="faint">–</span>;
  const step = WIDTH / known.length;
  const gap = step > 3 ? 1 : 0;
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} width={WIDTH} height={HEIGHT} aria-hidden="true">
      {known.map((value, index) => {
        const height = Math.max(value > 0 ? 1 : 0, (Math.max(0, value) / most) * (HEIGHT - 2));
        return <rect key={index} x={index * step} y={HEIGHT - height} width={step - gap} height={height} />;
      })}
    </svg>
  );
}
