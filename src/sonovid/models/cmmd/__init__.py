"""CMMD (Yang et al. 2023): a dual U-Net whose streams are coupled by easy fusion."""
