"""
A table of dates, words and numbers, and how sure its model is
==============================================================

`nnfs_xp.tables.TableRegressor` takes a frame as it comes. Here it learns how many bicycles a town
hires out, from the date, the weather and the temperature, and says within which bounds the number
will lie. This example needs the extra ``tables``.
"""

# %%
# Three years of days
# -------------------
# More is hired in summer and on working days, less in the rain; and the business grows. Some
# temperatures were not measured.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from nnfs_xp.tables import TableRegressor

random = np.random.default_rng(0)
days = pd.date_range("2022-01-01", "2024-12-31")
season = np.sin(2 * np.pi * (days.day_of_year.to_numpy() - 110) / 365)
weather = random.choice(["sun", "clouds", "rain"], len(days), p=[0.4, 0.4, 0.2])
temperature = 11 + 9 * season + random.normal(0, 3, len(days))
mean = 300 + 12 * temperature - 150 * (weather == "rain") + 80 * (days.day_of_week.to_numpy() < 5)
mean += 0.1 * np.arange(len(days))
table = pd.DataFrame({"day": days, "weather": weather, "temperature": temperature.round(1)})
table.loc[random.random(len(days)) < 0.05, "temperature"] = np.nan
hired = (mean + random.normal(0, 30, len(days))).round()
print(table.assign(hired=hired).head(3))

# %%
# Train on three days in four
# ---------------------------
# Five networks are trained, each without a fifth of these days: those tell it when to stop, and how
# sure it may be. Their mean is the prediction.

is_test = random.random(len(days)) < 0.25
model = TableRegressor(hidden=(64, 64), epochs=60, backend="numpy")
model.fit(table[~is_test], hired[~is_test])
tested, truth = table[is_test], hired[is_test]
print(f"R² {model.score(tested, truth):.3f} on {len(tested)} days that it has not seen")

# %%
# Nine in ten days should lie within their bounds
# -----------------------------------------------

predicted = model.predict(tested)
low, high = model.predict_interval(tested, 0.9).T
within = (low <= truth) & (truth <= high)
print(f"{within.mean():.0%} of them lie within their bounds")

order = np.argsort(predicted)
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
axes.fill_between(
    predicted[order], low[order], high[order], color="#0072B2", alpha=0.25, label="bounds"
)
axes.scatter(predicted[within], truth[within], s=7, color="black", label="within")
axes.scatter(predicted[~within], truth[~within], s=9, color="#D55E00", label="outside")
axes.set(xlabel="bicycles, predicted", ylabel="bicycles, hired")
axes.legend()
plt.show()
